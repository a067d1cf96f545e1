use super::*;
use crate::HashProperty;

struct Table(Vec<(&'static str, HeaderValue<'static>)>);

impl Headers for Table {
    fn get(&self, name: &str) -> Option<HeaderValue<'_>> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.clone())
    }

    fn property(&self, _: HashProperty) -> Option<Cow<'_, [u8]>> {
        None
    }
}

fn text(text: &'static str) -> HeaderValue<'static> {
    HeaderValue::Bytes(text.as_bytes().into())
}

fn is_met(
    mode: MatchMode,
    conditions: &[(&'static str, HeaderValue<'static>)],
    headers: &[(&'static str, HeaderValue<'static>)],
) -> bool {
    let conditions = conditions
        .iter()
        .map(|(name, value)| ((*name).into(), value.clone()));
    let asked = HeaderMatch {
        mode,
        conditions: conditions.collect(),
    };
    asked.matches(&Table(headers.to_vec()))
}

#[test]
fn all_asks_for_every_condition_and_any_for_one() {
    let conditions = [("a", text("1")), ("b", text("2"))];
    let (both, one) = (
        [("a", text("1")), ("b", text("2")), ("c", text("3"))],
        [("b", text("2"))],
    );
    let (other, none) = ([("a", text("2")), ("b", text("1"))], []);
    for (headers, all, any) in [
        (&both[..], true, true),
        (&one, false, true),
        (&other, false, false),
        (&none, false, false),
    ] {
        assert_eq!(is_met(MatchMode::All, &conditions, headers), all);
        assert_eq!(is_met(MatchMode::AllWithX, &conditions, headers), all);
        assert_eq!(is_met(MatchMode::Any, &conditions, headers), any);
        assert_eq!(is_met(MatchMode::AnyWithX, &conditions, headers), any);
    }
}

#[test]
fn without_a_condition_all_are_met_and_none_is() {
    assert!(is_met(MatchMode::All, &[], &[]));
    assert!(is_met(MatchMode::AllWithX, &[], &[("a", text("1"))]));
    assert!(!is_met(MatchMode::Any, &[], &[("a", text("1"))]));
    assert!(!is_met(MatchMode::AnyWithX, &[], &[]));
}

#[test]
fn names_that_begin_with_x_count_only_where_that_is_said() {
    let conditions = [("x-a", text("1")), ("b", text("2"))];
    let headers = [("b", text("2"))];
    assert!(is_met(MatchMode::All, &conditions, &headers));
    assert!(!is_met(MatchMode::AllWithX, &conditions, &headers));
    let headers = [("x-a", text("1"))];
    assert!(!is_met(MatchMode::Any, &conditions, &headers));
    assert!(is_met(MatchMode::AnyWithX, &conditions, &headers));
    let only_x = [("x-a", text("1"))];
    assert!(is_met(MatchMode::All, &only_x, &[]));
    assert!(!is_met(MatchMode::Any, &only_x, &headers));
}

#[test]
fn a_condition_without_a_value_asks_whether_the_header_is_there() {
    let conditions = [("a", HeaderValue::Void)];
    assert!(is_met(MatchMode::All, &conditions, &[("a", text("1"))]));
    assert!(is_met(MatchMode::All, &conditions, &[("a", HeaderValue::Void)]));
    assert!(!is_met(MatchMode::All, &conditions, &[("b", text("1"))]));
    assert!(!is_met(
        MatchMode::All,
        &[("a", text("1"))],
        &[("a", HeaderValue::Void)]
    ));
}

#[test]
fn values_are_equal_as_they_are_in_erlang() {
    let decimal = |scale, value| HeaderValue::Decimal { scale, value };
    let table = |bytes: &'static [u8]| HeaderValue::Table(bytes.into());
    let array = |bytes: &'static [u8]| HeaderValue::Array(bytes.into());
    for (a, b, expected) in [
        (HeaderValue::Integer(1), HeaderValue::Integer(1), true),
        (HeaderValue::Integer(1), HeaderValue::Float(1.0), true),
        (HeaderValue::Integer(1), HeaderValue::Float(1.5), false),
        (
            HeaderValue::Integer((1 << 53) + 1),
            HeaderValue::Float(9_007_199_254_740_992.0),
            false,
        ),
        (HeaderValue::Integer(0), HeaderValue::Float(-0.0), true),
        (
            HeaderValue::Integer(i128::MAX),
            HeaderValue::Float(f64::INFINITY),
            false,
        ),
        (HeaderValue::Float(f64::NAN), HeaderValue::Float(f64::NAN), false),
        (HeaderValue::Integer(1), text("1"), false),
        (HeaderValue::Integer(1), HeaderValue::Bool(true), false),
        (HeaderValue::Bool(true), HeaderValue::Bool(true), true),
        (decimal(1, 10), decimal(1, 10), true),
        (decimal(1, 10), decimal(0, 1), false),
        (table(b"t"), table(b"t"), true),
        (table(b"t"), array(b"t"), false),
        (table(b""), array(b""), true),
        (array(b"t"), array(b"u"), false),
    ] {
        assert_eq!(a == b, expected, "{a:?} {b:?}");
        assert_eq!(b == a, expected, "{b:?} {a:?}");
    }
}
