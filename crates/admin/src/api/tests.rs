use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firth_broker::users::{NewPassword, PasswordChange, Permissions};
use firth_broker::{Destination, HeaderMatch, NewBinding, NewExchange, NewQueue, QueueOptions};
use serde_json::{Value, json};

use crate::server::tests::{Running, start};

/// Who asks.
#[derive(Clone, Copy)]
struct As(&'static str, &'static str);

const GUEST: As = As("guest", "guest");
const NOBODY: As = As("nobody", "secret");
const MANAGEMENT: As = As("management", "secret");

impl Running {
    async fn ask(&self, by: As, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.ask_raw(by, method, path, "", &body).await
    }

    async fn ask_raw(&self, by: As, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let login = STANDARD.encode(format!("{}:{}", by.0, by.1));
        let response = self
            .request(&format!(
                "{method} {path} HTTP/1.0\r\nHost: localhost:1\r\nAuthorization: Basic {login}\r\n{headers}\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn get_as(&self, by: As, path: &str) -> (u16, Value) {
        self.ask(by, "GET", path, &Value::Null).await
    }

    async fn user(&self, by: As, tags: &str) {
        let password = PasswordChange::Set(NewPassword::new(by.1));
        let tags = tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect();
        self.broker.users().put(by.0, password, Some(tags)).await.unwrap();
    }

    async fn permit(&self, by: As, configure: &str, write: &str, read: &str) {
        let permissions = Permissions {
            virtual_host: "/".into(),
            user: by.0.into(),
            configure: configure.into(),
            write: write.into(),
            read: read.into(),
        };
        self.broker.users().set_permissions(permissions).await.unwrap();
    }

    /// A topic exchange, a queue and a binding between them.
    async fn declare(&self) {
        let virtual_host = self.broker.topology().virtual_host("/").unwrap();
        let exchange = NewExchange {
            name: "e".to_owned(),
            kind: firth_broker::ExchangeKind::Topic,
            durable: true,
            ..NewExchange::default()
        };
        virtual_host.declare_exchange(exchange).unwrap();
        let queue = NewQueue {
            name: "q".to_owned(),
            durable: true,
            exclusive: None,
            auto_delete: false,
            options: QueueOptions::default(),
            arguments: Vec::new(),
        };
        self.broker.declare_queue(&virtual_host, queue).await.unwrap();
        let binding = NewBinding {
            source: "e".into(),
            destination: Destination::Queue("q".into()),
            key: "a b.#".to_owned(),
            arguments: Vec::new(),
            header_match: HeaderMatch::default(),
        };
        virtual_host.bind(binding).unwrap();
    }
}

fn reason(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["reason"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn who_has_not_logged_in_is_asked_to() {
    let running = start().await;
    let response = running.get("/api/whoami").await;
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    assert!(response.contains("www-authenticate: Basic realm="), "{response}");
    for wrong in [As("guest", "Guest"), As("unknown", "x"), As("", "")] {
        let answer = running.get_as(wrong, "/api/whoami").await;
        assert_eq!(reason(&answer), (401, "Login failed"));
    }
    let answer = running.get_as(GUEST, "/api/whoami").await;
    assert_eq!(
        answer,
        (200, json!({ "name": "guest", "tags": ["administrator"] }))
    );
}

/// A proxy speaks for others, and a page of another site for nobody.
#[tokio::test]
async fn the_default_user_is_nobody_from_elsewhere() {
    let running = start().await;
    for headers in [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1\r\n",
        "X-Real-IP: ::1\r\n",
    ] {
        let answer = running.ask_raw(GUEST, "GET", "/api/whoami", headers, "").await;
        assert_eq!(answer.0, 401, "{headers}");
    }
    let login = STANDARD.encode("guest:guest");
    let rebound =
        format!("GET /api/whoami HTTP/1.0\r\nHost: evil.example\r\nAuthorization: Basic {login}\r\n\r\n");
    assert!(running.request(&rebound).await.starts_with("HTTP/1.0 401"));
    for (site, status) in [
        ("http://localhost:1", 201),
        ("http://evil.example", 401),
        ("null", 401),
    ] {
        let headers = format!("Origin: {site}\r\n");
        let body = "{\"tags\":\"\"}";
        let answer = running
            .ask_raw(GUEST, "PUT", "/api/users/other", &headers, body)
            .await;
        assert_eq!(answer.0, status, "{site}");
    }
}

#[tokio::test]
async fn only_tags_of_the_management_let_somebody_in() {
    let running = start().await;
    running.user(NOBODY, "other").await;
    let answer = running.get_as(NOBODY, "/api/whoami").await;
    assert_eq!(reason(&answer), (401, "Not management user"));
    running.user(MANAGEMENT, "management").await;
    assert_eq!(running.get_as(MANAGEMENT, "/api/whoami").await.0, 200);
}

/// Every path that only an administrator may use, with every method that it has.
const FOR_ADMINISTRATORS: &[(&str, &str)] = &[
    ("GET", "/api/users"),
    ("GET", "/api/users/without-permissions"),
    ("POST", "/api/users/bulk-delete"),
    ("GET PUT DELETE", "/api/users/guest"),
    ("GET", "/api/users/guest/permissions"),
    ("GET", "/api/users/guest/topic-permissions"),
    ("GET", "/api/permissions"),
    ("GET PUT DELETE", "/api/permissions/%2F/guest"),
    ("GET", "/api/topic-permissions"),
    ("GET PUT DELETE", "/api/topic-permissions/%2F/guest"),
    ("PUT DELETE", "/api/vhosts/%2F"),
    ("GET", "/api/vhosts/%2F/permissions"),
    ("GET", "/api/vhosts/%2F/topic-permissions"),
    ("PUT DELETE", "/api/vhost-limits/%2F/max-queues"),
];

#[tokio::test]
async fn users_and_virtual_hosts_are_for_administrators() {
    let running = start().await;
    running
        .user(MANAGEMENT, "management,monitoring,policymaker")
        .await;
    running.permit(MANAGEMENT, ".*", ".*", ".*").await;
    let before = running.get_as(GUEST, "/api/users").await;
    for (methods, path) in FOR_ADMINISTRATORS {
        for method in methods.split(' ') {
            let body = json!({
                "users": ["guest"], "tags": "", "configure": "", "write": "", "read": "", "exchange": "", "value": 1,
            });
            let answer = running.ask(MANAGEMENT, method, path, &body).await;
            assert_eq!(
                reason(&answer),
                (401, "Not administrator user"),
                "{method} {path}"
            );
        }
    }
    assert_eq!(running.get_as(GUEST, "/api/users").await, before);
}

#[tokio::test]
async fn users_come_change_and_go() {
    let running = start().await;
    let put = async |body: Value| running.ask(GUEST, "PUT", "/api/users/a%2Fb", &body).await;
    let login = async |password| running.get_as(As("a/b", password), "/api/whoami").await.0;
    assert_eq!(
        put(json!({ "password": "secret-1", "tags": "management, x" }))
            .await
            .0,
        201
    );
    assert_eq!(login("secret-1").await, 200);
    let answer = running.get_as(GUEST, "/api/users/a%2Fb").await;
    let shown = json!({ "name": "a/b", "tags": ["management", "x"], "has_password": true, "limits": {} });
    assert_eq!(answer, (200, shown));
    // The password goes where it is not named, unless that is said.
    assert_eq!(
        put(json!({ "tags": ["management"], "keep_password": true }))
            .await
            .0,
        204
    );
    assert_eq!(login("secret-1").await, 200);
    assert_eq!(put(json!({ "tags": ["management"] })).await.0, 204);
    assert_eq!(login("secret-1").await, 401);
    let hash = "j/+6v3ZRlSKXqy4NWdvCvuy6MgvC2X1X4kPXHsidIO0AVcJr";
    assert_eq!(
        put(json!({ "password_hash": hash, "tags": "management" }))
            .await
            .0,
        204
    );
    assert_eq!(login("guest").await, 200);
    for (wrong, why) in [
        (json!({ "password": "x" }), "tags_not_present"),
        (json!([]), "not_json"),
        (json!({ "password": 7, "tags": "" }), "password is to be a string"),
        (json!({ "tags": [7] }), "tags is to be a list of strings"),
        (
            json!({ "password_hash": "x", "tags": "" }),
            "password_hash is no salt and digest in base64",
        ),
    ] {
        assert_eq!(reason(&put(wrong).await), (400, why));
    }
}

#[tokio::test]
async fn users_are_deleted_one_by_one_and_many_at_a_time() {
    let running = start().await;
    let body = json!({ "tags": "" });
    running.ask(GUEST, "PUT", "/api/users/a%2Fb", &body).await;
    let answer = running.get_as(GUEST, "/api/users/without-permissions").await;
    assert_eq!(answer.1[0]["name"], "a/b");
    assert_eq!(
        running
            .ask(GUEST, "DELETE", "/api/users/a%2Fb", &Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(
        running
            .ask(GUEST, "DELETE", "/api/users/a%2Fb", &Value::Null)
            .await
            .0,
        404
    );
    assert_eq!(running.get_as(GUEST, "/api/users/a%2Fb").await.0, 404);
    let both = json!({ "users": ["not-there", "guest"] });
    assert_eq!(
        running
            .ask(GUEST, "POST", "/api/users/bulk-delete", &both)
            .await
            .0,
        204
    );
    assert_eq!(running.get_as(GUEST, "/api/whoami").await.0, 401);
}

/// No answer has anything of a password in it.
#[tokio::test]
async fn no_answer_tells_a_secret() {
    let running = start().await;
    let body = json!({ "password": "very-secret", "tags": "administrator" });
    running.ask(GUEST, "PUT", "/api/users/alice", &body).await;
    for path in [
        "/api/users",
        "/api/users/alice",
        "/api/whoami",
        "/api/overview",
        "/api/permissions",
        "/metrics",
    ] {
        let login = STANDARD.encode("alice:very-secret");
        let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Basic {login}\r\n\r\n");
        let answer = running.request(&request).await;
        assert!(answer.contains("200 OK"), "{answer}");
        for secret in ["very-secret", &login, "password_hash", "salt", "argon"] {
            assert!(
                !answer.to_lowercase().contains(&secret.to_lowercase()),
                "{path}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn permissions_are_set_and_cleared() {
    let running = start().await;
    running.user(MANAGEMENT, "management").await;
    let path = "/api/permissions/%2F/management";
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    assert_eq!(running.ask(GUEST, "PUT", path, &all).await.0, 201);
    assert_eq!(running.ask(GUEST, "PUT", path, &all).await.0, 204);
    let shown = json!({ "user": "management", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" });
    assert_eq!(running.get_as(GUEST, path).await, (200, shown.clone()));
    for path in [
        "/api/users/management/permissions",
        "/api/permissions?page=2&page_size=1",
    ] {
        let (_, answer) = running.get_as(GUEST, path).await;
        let items = answer.get("items").unwrap_or(&answer);
        assert_eq!(items, &json!([shown]), "{path}");
    }
    let answer = running
        .ask(GUEST, "PUT", path, &json!({ "configure": "", "write": "" }))
        .await;
    assert_eq!(reason(&answer), (400, "[{key_missing,read}]"));
    let answer = running
        .ask(
            GUEST,
            "PUT",
            path,
            &json!({ "configure": "(", "write": "", "read": "" }),
        )
        .await;
    assert!(answer.0 == 400 && reason(&answer).1.contains("'('"), "{answer:?}");
    for path in [
        "/api/permissions/%2F/unknown",
        "/api/permissions/unknown/management",
    ] {
        let answer = running.ask(GUEST, "PUT", path, &all).await;
        assert_eq!(reason(&answer), (400, "vhost_or_user_not_found"));
        assert_eq!(running.get_as(GUEST, path).await.0, 404);
    }
    assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 204);
    assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 404);

    let path = "/api/topic-permissions/%2F/management";
    let topic = json!({ "exchange": "amq.topic", "write": "^{username}", "read": "" });
    assert_eq!(running.get_as(GUEST, path).await.0, 404);
    assert_eq!(running.ask(GUEST, "PUT", path, &topic).await.0, 201);
    assert_eq!(running.ask(GUEST, "PUT", path, &topic).await.0, 204);
    let (_, answer) = running.get_as(GUEST, path).await;
    assert_eq!(answer[0]["write"], "^{username}");
    assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 204);
    assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 404);
}

#[tokio::test]
async fn virtual_hosts_come_with_permissions_and_go_with_them() {
    let running = start().await;
    let path = "/api/vhosts/other";
    let described = json!({ "description": "d", "tags": "a,b" });
    assert_eq!(running.ask(GUEST, "PUT", path, &described).await.0, 201);
    assert_eq!(running.ask(GUEST, "PUT", path, &described).await.0, 204);
    let (_, answer) = running.get_as(GUEST, path).await;
    assert_eq!(
        (&answer["name"], &answer["description"], &answer["tags"]),
        (&json!("other"), &json!("d"), &json!(["a", "b"]))
    );
    let (_, answer) = running.get_as(GUEST, "/api/vhosts/other/permissions").await;
    assert_eq!(answer[0]["user"], "guest");
    let limit = "/api/vhost-limits/other/max-queues";
    assert_eq!(
        running.ask(GUEST, "PUT", limit, &json!({ "value": 5 })).await.0,
        204
    );
    let limits = json!([{ "vhost": "other", "value": { "max-queues": 5 } }]);
    assert_eq!(
        running.get_as(GUEST, "/api/vhost-limits").await,
        (200, limits.clone())
    );
    assert_eq!(
        running.get_as(GUEST, "/api/vhost-limits/other").await,
        (200, limits)
    );
    // Its description is changed, and its limits are not.
    running.ask(GUEST, "PUT", path, &Value::Null).await;
    assert_ne!(running.get_as(GUEST, "/api/vhost-limits").await.1, json!([]));
    assert_eq!(running.ask(GUEST, "DELETE", limit, &Value::Null).await.0, 204);
    assert_eq!(running.get_as(GUEST, "/api/vhost-limits").await, (200, json!([])));
    let bogus = running
        .ask(
            GUEST,
            "PUT",
            "/api/vhost-limits/other/bogus",
            &json!({ "value": 5 }),
        )
        .await;
    assert_eq!(bogus.0, 400);
    assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 204);
    assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 404);
    assert!(
        running
            .broker
            .users()
            .permissions()
            .iter()
            .all(|of| &*of.virtual_host == "/")
    );
}

#[tokio::test]
async fn what_is_declared_is_shown() {
    let running = start().await;
    running.declare().await;
    let (_, exchange) = running.get_as(GUEST, "/api/exchanges/%2F/e").await;
    let shown = json!({
        "name": "e", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {},
    });
    assert_eq!(exchange, shown);
    let (_, default) = running.get_as(GUEST, "/api/exchanges/%2F/amq.default").await;
    assert_eq!(
        (&default["name"], &default["type"]),
        (&json!(""), &json!("direct"))
    );
    let (_, queues) = running
        .get_as(GUEST, "/api/queues?columns=name,type,messages")
        .await;
    assert_eq!(queues, json!([{ "name": "q", "type": "classic", "messages": 0 }]));
    assert_eq!(
        running.get_as(GUEST, "/api/queues/%2F/q").await.1["durable"],
        true
    );
    let by_name = json!({
        "source": "", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "q", "arguments": {},
        "properties_key": "q",
    });
    let bound = json!({
        "source": "e", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "a b.#", "arguments": {},
        "properties_key": "a+b.%23",
    });
    for (path, expected) in [
        ("/api/bindings", json!([by_name, bound])),
        ("/api/bindings/%2F", json!([by_name, bound])),
        ("/api/queues/%2F/q/bindings", json!([by_name, bound])),
        ("/api/exchanges/%2F/e/bindings/source", json!([bound])),
        ("/api/exchanges/%2F/amq.default/bindings/source", json!([by_name])),
        ("/api/exchanges/%2F/e/bindings/destination", json!([])),
        ("/api/bindings/%2F/e/e/q/q", json!([bound])),
        ("/api/bindings/%2F/e/amq.default/q/q", json!([by_name])),
        ("/api/bindings/%2F/e/e/q/q/a%2Bb.%2523", bound.clone()),
        ("/api/bindings/%2F/e/e/q/q/a%20b.%23", bound.clone()),
    ] {
        assert_eq!(running.get_as(GUEST, path).await, (200, expected), "{path}");
    }
    for path in [
        "/api/queues/%2F/x",
        "/api/exchanges/%2F/x",
        "/api/queues/x/q",
        "/api/bindings/%2F/e/e/q/q/x",
        "/api/x",
    ] {
        assert_eq!(running.get_as(GUEST, path).await.0, 404, "{path}");
    }
}

/// What changes something takes the permission that it takes in AMQP, also of an administrator; without it nothing is changed.
#[tokio::test]
async fn changes_take_the_permissions_that_they_take_elsewhere() {
    let running = start().await;
    running.declare().await;
    running.user(MANAGEMENT, "administrator").await;
    let (purge, queue) = ("/api/queues/%2F/q/contents", "/api/queues/%2F/q");
    let (exchange, binding) = ("/api/exchanges/%2F/e", "/api/bindings/%2F/e/e/q/q/a%2Bb.%2523");
    for path in [purge, binding, queue, exchange] {
        let answer = running.ask(MANAGEMENT, "DELETE", path, &Value::Null).await;
        assert_eq!(
            reason(&answer),
            (401, "User not authorised to access virtual host"),
            "{path}"
        );
    }
    let shown = running.get_as(GUEST, "/api/bindings").await;
    for (path, [configure, write, read], wrong) in [
        (purge, ["", "", "q"], ["q", "q", ""]),
        (binding, ["", "q", "e"], ["q|e", "e", "q|e"]),
        (binding, ["", "q", "e"], ["q|e", "q", "q"]),
        (queue, ["q", "", ""], ["e", "q", "q"]),
        (exchange, ["e", "", ""], ["q", "e", "e"]),
    ] {
        running.permit(MANAGEMENT, wrong[0], wrong[1], wrong[2]).await;
        let answer = running.ask(MANAGEMENT, "DELETE", path, &Value::Null).await;
        assert_eq!(reason(&answer), (401, "Access refused."), "{path}");
        assert_eq!(running.get_as(GUEST, "/api/bindings").await, shown, "{path}");
        assert_eq!(running.get_as(GUEST, exchange).await.0, 200);
        running.permit(MANAGEMENT, configure, write, read).await;
        let answer = running.ask(MANAGEMENT, "DELETE", path, &Value::Null).await;
        assert_eq!(answer.0, 204, "{path}");
        // What is gone comes back for the next.
        running.declare().await;
    }
    running.permit(MANAGEMENT, ".*", ".*", ".*").await;
    let answer = running
        .ask(
            MANAGEMENT,
            "DELETE",
            "/api/exchanges/%2F/amq.direct",
            &Value::Null,
        )
        .await;
    assert_eq!(answer.0, 401);
    let answer = running
        .ask(
            MANAGEMENT,
            "DELETE",
            "/api/exchanges/%2F/e?if-unused=true",
            &Value::Null,
        )
        .await;
    assert_eq!(reason(&answer), (400, "exchange 'e' in vhost '/' in use"));
}

#[tokio::test]
async fn who_may_not_see_a_virtual_host_sees_nothing_of_it() {
    let running = start().await;
    running.declare().await;
    running.user(MANAGEMENT, "management").await;
    for path in [
        "/api/vhosts",
        "/api/queues",
        "/api/exchanges",
        "/api/bindings",
        "/api/vhost-limits",
    ] {
        assert_eq!(running.get_as(MANAGEMENT, path).await, (200, json!([])), "{path}");
    }
    for path in [
        "/api/vhosts/%2F",
        "/api/queues/%2F",
        "/api/queues/%2F/q",
        "/api/queues/%2F/q/bindings",
        "/api/exchanges/%2F",
        "/api/exchanges/%2F/e",
        "/api/exchanges/%2F/e/bindings/source",
        "/api/exchanges/%2F/e/bindings/destination",
        "/api/bindings/%2F",
        "/api/bindings/%2F/e/e/q/q",
        "/api/bindings/%2F/e/e/q/q/a%2Bb.%2523",
        "/api/vhost-limits/%2F",
    ] {
        let answer = running.get_as(MANAGEMENT, path).await;
        assert_eq!(
            reason(&answer),
            (401, "User not authorised to access virtual host"),
            "{path}"
        );
    }
    assert_eq!(
        running.get_as(MANAGEMENT, "/api/overview").await.1["object_totals"]["queues"],
        0
    );
    running.permit(MANAGEMENT, "", "", "").await;
    assert_eq!(running.get_as(MANAGEMENT, "/api/queues").await.1[0]["name"], "q");
    assert_eq!(
        running.get_as(MANAGEMENT, "/api/overview").await.1["object_totals"]["queues"],
        1
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let running = start().await;
    let page = async |query: &str| {
        running
            .get_as(GUEST, &format!("/api/exchanges/%2F?{query}"))
            .await
    };
    let (_, answer) = page("page=2&page_size=4&columns=name").await;
    let expected = json!({
        "filtered_count": 6, "item_count": 2, "items": [{ "name": "amq.match" }, { "name": "amq.topic" }], "page": 2,
        "page_count": 2, "page_size": 4, "total_count": 6,
    });
    assert_eq!(answer, expected);
    let (_, answer) = page("page=1&name=match").await;
    assert_eq!(
        (&answer["filtered_count"], &answer["items"][0]["name"]),
        (&json!(1), &json!("amq.match"))
    );
    let (_, answer) = page("page=1&name=nothing").await;
    assert_eq!((&answer["page_count"], &answer["items"]), (&json!(0), &json!([])));
    let huge = format!("page={}&page_size=500", usize::MAX);
    for wrong in [
        "page=x",
        "page=0",
        "page=-1",
        "page=1&page_size=0",
        "page=1&page_size=501",
        "page=3&page_size=4",
        &huge,
    ] {
        assert_eq!(page(wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let running = start().await;
    let body = format!("{{\"tags\":\"{}\"}}", "x".repeat(1 << 20));
    let answer = running.ask_raw(GUEST, "PUT", "/api/users/a", "", &body).await;
    assert_eq!(answer.0, 413);
    let deep = "[".repeat(100_000);
    let answer = running.ask_raw(GUEST, "PUT", "/api/users/a", "", &deep).await;
    assert_eq!(reason(&answer), (400, "not_json"));
    assert_eq!(
        running.ask(GUEST, "POST", "/api/whoami", &Value::Null).await.0,
        405
    );
}

/// Names are data in every answer.
#[tokio::test]
async fn hostile_names_are_data() {
    let running = start().await;
    let name = "<script>alert(1)</script>\u{202e}\"'\\";
    let put = PasswordChange::Remove;
    running
        .broker
        .users()
        .put(name, put, Some(Vec::new()))
        .await
        .unwrap();
    let login = STANDARD.encode("guest:guest");
    let request =
        format!("GET /api/users HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\r\n");
    let answer = running.request(&request).await;
    let head = answer.split("\r\n\r\n").next().unwrap();
    for header in [
        "content-type: application/json",
        "x-content-type-options: nosniff",
        "default-src 'none'",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let (_, users) = running.get_as(GUEST, "/api/users").await;
    assert_eq!(users[0]["name"], name);
}

/// The reasons are those that RabbitMQ 3.10.8 gives.
#[tokio::test]
async fn what_is_declared_is_declared_as_by_a_client() {
    let running = start().await;
    let put = async |path: &str, body: Value| running.ask(GUEST, "PUT", path, &body).await;
    let (queue, exchange) = ("/api/queues/%2F/q", "/api/exchanges/%2F/e");
    let arguments =
        json!({ "x-max-length": 5, "x-dead-letter-exchange": "dl", "other": [1, { "a": [true, 1.5] }] });
    let body = json!({ "durable": true, "arguments": arguments });
    assert_eq!(put(queue, body.clone()).await.0, 201);
    assert_eq!(put(queue, body).await.0, 204);
    assert_eq!(running.get_as(GUEST, queue).await.1["arguments"], arguments);
    let declared = running
        .broker
        .topology()
        .virtual_host("/")
        .unwrap()
        .queue("q")
        .unwrap();
    assert_eq!(declared.definition().options.max_length, Some(5));
    let body = json!({ "type": "topic", "durable": true, "arguments": { "alternate-exchange": "x" } });
    assert_eq!(put(exchange, body).await.0, 201);
    for (path, body, why) in [
        (
            queue,
            json!({}),
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            "/api/queues/%2F/r",
            json!({ "arguments": { "x-max-length": -1 } }),
            "invalid arg 'x-max-length' for queue 'r' in vhost '/': {value_negative,-1}",
        ),
        (
            "/api/queues/%2F/r",
            json!({ "arguments": { "x": [null] } }),
            "null_not_allowed",
        ),
        (
            exchange,
            json!({ "type": "direct" }),
            "inequivalent arg 'type' for exchange 'e' in vhost '/': received 'direct' but current is 'topic'",
        ),
        (
            "/api/exchanges/%2F/f",
            json!({ "type": "bogus" }),
            "unknown exchange type 'bogus'",
        ),
    ] {
        assert_eq!(reason(&put(path, body).await), (400, why));
    }
    assert_eq!(
        reason(&put("/api/exchanges/%2F/amq.new", json!({})).await),
        (401, "Access refused.")
    );
    assert_eq!(
        reason(&put("/api/exchanges/%2F/amq.default", json!({})).await),
        (401, "Access refused.")
    );
}

#[tokio::test]
async fn bindings_come_and_go() {
    let running = start().await;
    running.declare().await;
    let queue = NewQueue {
        name: "r".to_owned(),
        durable: true,
        exclusive: None,
        auto_delete: false,
        options: QueueOptions::default(),
        arguments: Vec::new(),
    };
    let virtual_host = running.broker.topology().virtual_host("/").unwrap();
    running.broker.declare_queue(&virtual_host, queue).await.unwrap();
    let post = async |path: &str, body: Value| running.ask(GUEST, "POST", path, &body).await;
    let between = "/api/bindings/%2F/e/e/q/r";
    let body = json!({ "routing_key": "a.#", "arguments": { "x": 1 } });
    assert_eq!(post(between, body).await.0, 201);
    assert_eq!(post("/api/bindings/%2F/e/e/e/amq.fanout", json!({})).await.0, 201);
    let (_, bindings) = running.get_as(GUEST, between).await;
    assert_eq!(
        (&bindings[0]["routing_key"], &bindings[0]["arguments"]),
        (&json!("a.#"), &json!({ "x": 1 }))
    );
    let key = bindings[0]["properties_key"]
        .as_str()
        .unwrap()
        .replace('%', "%25");
    let one = format!("{between}/{key}");
    assert_eq!(running.get_as(GUEST, &one).await.1, bindings[0]);
    assert_eq!(running.ask(GUEST, "DELETE", &one, &Value::Null).await.0, 204);
    assert_eq!(running.get_as(GUEST, &one).await.0, 404);
    let absent = post("/api/bindings/%2F/e/nope/q/q", json!({})).await;
    assert_eq!(reason(&absent), (404, "no exchange 'nope' in vhost '/'"));
    assert_eq!(post("/api/bindings/%2F/e/e/x/q", json!({})).await.0, 404);
}

/// Without any one of the permissions that AMQP asks for, nothing is declared.
#[tokio::test]
async fn declarations_take_the_permissions_that_they_take_elsewhere() {
    let running = start().await;
    running.declare().await;
    running.user(MANAGEMENT, "administrator").await;
    let dead_letters = json!({ "arguments": { "x-dead-letter-exchange": "d" } });
    let alternate = json!({ "arguments": { "alternate-exchange": "a" } });
    for (method, path, body, needs) in [
        ("PUT", "/api/queues/%2F/n", json!({}), ["n", "", ""]),
        ("PUT", "/api/queues/%2F/n", dead_letters, ["n", "d", "n"]),
        ("PUT", "/api/exchanges/%2F/n", json!({}), ["n", "", ""]),
        ("PUT", "/api/exchanges/%2F/n", alternate, ["n", "a", "n"]),
        (
            "POST",
            "/api/bindings/%2F/e/e/q/q",
            json!({ "routing_key": "n" }),
            ["", "q", "e"],
        ),
    ] {
        let before = running.get_as(GUEST, "/api/bindings").await;
        for missing in (0..3).filter(|nth| !needs[*nth].is_empty()) {
            let mut others = [".*"; 3];
            others[missing] = "^$";
            running.permit(MANAGEMENT, others[0], others[1], others[2]).await;
            let answer = running.ask(MANAGEMENT, method, path, &body).await;
            assert_eq!(reason(&answer), (401, "Access refused."), "{path} {missing}");
            assert_eq!(running.get_as(GUEST, "/api/bindings").await, before);
        }
        let [configure, write, read] = needs.map(|name| format!("^{name}$"));
        running.permit(MANAGEMENT, &configure, &write, &read).await;
        let answer = running.ask(MANAGEMENT, method, path, &body).await;
        assert_eq!(answer.0, 201, "{path} {answer:?}");
        if method == "PUT" {
            assert_eq!(running.ask(GUEST, "DELETE", path, &Value::Null).await.0, 204);
        }
    }
}
