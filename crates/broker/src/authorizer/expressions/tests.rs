use super::*;

fn is_match(expression: &str, text: &str) -> bool {
    validate(expression, None).unwrap();
    Expressions::default().is_match(expression, None, text.as_bytes())
}

/// Each was asked of RabbitMQ 3.10.8.
#[test]
fn expressions_match_as_those_of_rabbitmq_do() {
    for (expression, text, matches) in [
        (".*", "anything", true),
        (".*", "", true),
        ("", "q", false),
        ("", "", true),
        ("^$", "q", false),
        ("q", "a-q-b", true),
        ("^q", "a-q", false),
        ("^(a|b)$", "b", true),
        ("^a{2}$", "aa", true),
        ("^a{2,3}$", "aaaa", false),
        ("^a{2,}$", "aaaa", true),
        ("^a{,2}$", "a{,2}", true),
        ("^a{x}$", "a{x}", true),
        ("^\\{x}$", "{x}", true),
        ("^[{]x$", "{x", true),
        ("^\\x{41}$", "A", true),
        ("^.$", "ä", false),
        ("^..$", "ä", true),
        ("^ä$", "ä", true),
        ("^\\w+$", "ä", false),
        ("(?i)^abc$", "ABC", true),
    ] {
        assert_eq!(is_match(expression, text), matches, "{expression} {text}");
    }
}

#[test]
fn what_takes_more_than_linear_time_or_much_memory_is_refused() {
    for expression in [
        "(a)\\1",
        "(?=a)",
        "(?<!a)b",
        "[",
        "(",
        "*a",
        "((a{99}){99}){99}",
        "\\",
    ] {
        let error = validate(expression, None).unwrap_err();
        assert!(error.to_string().contains(expression), "{error}");
    }
    assert!(validate(&"a".repeat(EXPRESSION_BYTES_MAX), None).is_ok());
    assert!(validate(&"a".repeat(EXPRESSION_BYTES_MAX + 1), None).is_err());
}

#[test]
fn variables_are_put_in_as_literals() {
    let expressions = Expressions::default();
    let variables = Variables {
        username: ".*",
        vhost: "/",
        client_id: None,
    };
    let is_match =
        |expression: &str, text: &str| expressions.is_match(expression, Some(&variables), text.as_bytes());
    assert!(is_match("^{username}-x$", ".*-x"));
    assert!(!is_match("^{username}-x$", "alice-x"));
    assert!(is_match("^{vhost}{vhost}$", "//"));
    assert!(is_match("^[{username}]+$", "*."));
    assert!(!is_match("^[{username}]+$", "a"));
    // What is not known stays what it is, so that nothing is matched by it but itself.
    assert!(is_match("^{client_id}$", "{client_id}"));
    assert!(!is_match("^{client_id}", "alice"));
    let hostile = Variables {
        client_id: Some("a|.*"),
        ..variables
    };
    assert!(!expressions.is_match("^{client_id}$", Some(&hostile), b"b"));
    assert!(expressions.is_match("^{client_id}$", Some(&hostile), b"a|.*"));
}

#[test]
fn what_variables_make_too_large_matches_nothing() {
    let long = "x".repeat(COMPILED_BYTES_MAX);
    let variables = Variables {
        client_id: Some(&long),
        ..Variables::default()
    };
    let expressions = Expressions::default();
    assert!(!expressions.is_match("{client_id}|y", Some(&variables), b"y"));
}

#[test]
fn compiled_expressions_are_bounded() {
    let expressions = Expressions::default();
    for nth in 0..3 * COMPILED_MAX {
        assert!(expressions.is_match(&format!("^{nth}$"), None, nth.to_string().as_bytes()));
    }
    assert!(expressions.lock().len() <= COMPILED_MAX);
}
