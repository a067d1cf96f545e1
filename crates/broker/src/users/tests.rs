use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firth_log::file::recorder::Recorder;
use firth_log::{Engine, LogId, Options};

use super::*;
use crate::{Broker, Clock, Config};

fn open(disk: &Recorder) -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| 1),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    };
    let options = Options {
        wal_bytes_max: Some(64 << 20),
        wal_file_bytes: 8 << 20,
        ..Options::default()
    };
    Engine::open(Arc::new(disk.clone()), environment, options).unwrap()
}

async fn broker(engine: &Engine) -> Broker {
    let drawn = AtomicU64::new(0);
    let environment = Environment {
        clock: Clock::new(|| 1, || Duration::ZERO),
        random: Arc::new(move || u128::from(drawn.fetch_add(1, Ordering::Relaxed)).to_le_bytes()),
    };
    Broker::open(engine.clone(), Config::default(), environment)
        .await
        .unwrap()
}

async fn close(broker: Broker, engine: Engine) {
    broker.shutdown().await;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}

fn memory() -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| 1),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    };
    Engine::memory(environment, Options::default())
}

fn local() -> Origin {
    Origin::of_socket([127, 0, 0, 1].into())
}

fn remote() -> Origin {
    Origin::of_socket([10, 0, 0, 1].into())
}

fn password(password: &str) -> PasswordChange {
    PasswordChange::Set(NewPassword::new(password))
}

fn permissions(virtual_host: &str, user: &str) -> Permissions {
    Permissions {
        virtual_host: virtual_host.into(),
        user: user.into(),
        configure: "c".into(),
        write: "w".into(),
        read: "r".into(),
    }
}

fn topic_permissions(virtual_host: &str, user: &str, exchange: &str) -> TopicPermissions {
    TopicPermissions {
        virtual_host: virtual_host.into(),
        user: user.into(),
        exchange: exchange.into(),
        write: "w".into(),
        read: "r".into(),
    }
}

#[tokio::test]
async fn the_default_user_is_there_over_loopback_alone() {
    let engine = memory();
    let broker = broker(&engine).await;
    let users = broker.users();
    let guest = users.authenticate("guest", b"guest", local()).await.unwrap();
    assert!(users.authorizer().has_tag(&guest, ADMINISTRATOR));
    let mapped = Origin::of_socket("::ffff:127.0.0.1".parse().unwrap());
    assert!(users.authenticate("guest", b"guest", mapped).await.is_ok());
    let proxied = Origin::of_proxy([127, 0, 0, 1].into());
    for from in [remote(), proxied] {
        let refused = users.authenticate("guest", b"guest", from).await.err();
        assert_eq!(refused, Some(Refused::NotLoopback));
    }
    assert_eq!(engine.bounds(LogId::USERS), None, "nothing was changed");
    // Another password does not make it less of a default user.
    users.put("guest", password("other"), None).await.unwrap();
    let refused = users.authenticate("guest", b"guest", local()).await.err();
    assert_eq!(
        refused,
        Some(Refused::Credentials),
        "what was found right before is forgotten"
    );
    assert!(users.authenticate("guest", b"other", local()).await.is_ok());
    let refused = users.authenticate("guest", b"other", remote()).await.err();
    assert_eq!(refused, Some(Refused::NotLoopback));
}

#[tokio::test]
async fn only_the_right_password_of_a_known_user_is_taken() {
    let broker = broker(&memory()).await;
    let users = broker.users();
    assert_eq!(users.put("alice", password("secret"), None).await, Ok(true));
    assert_eq!(users.put("nobody", PasswordChange::Keep, None).await, Ok(true));
    // The second time it is remembered.
    for _ in 0..2 {
        let alice = users.authenticate("alice", b"secret", remote()).await.unwrap();
        assert_eq!(&**alice.name(), "alice");
    }
    for (name, wrong) in [
        ("alice", &b"Secret"[..]),
        ("alice", b""),
        ("alice", b"secret\0"),
        ("nobody", b""),
        ("nobody", b"nobody"),
        ("unknown", b"secret"),
        ("", b""),
    ] {
        let refused = users.authenticate(name, wrong, remote()).await.err();
        assert_eq!(refused, Some(Refused::Credentials), "{name}");
    }
    assert_eq!(users.put("alice", password("new"), None).await, Ok(false));
    assert!(users.authenticate("alice", b"secret", remote()).await.is_err());
    assert!(users.authenticate("alice", b"new", remote()).await.is_ok());
    users.put("alice", PasswordChange::Remove, None).await.unwrap();
    assert!(users.authenticate("alice", b"new", remote()).await.is_err());
}

#[tokio::test]
async fn an_imported_digest_is_replaced_when_its_password_is_known() {
    let broker = broker(&memory()).await;
    let users = broker.users();
    let digest = STANDARD
        .decode("j/+6v3ZRlSKXqy4NWdvCvuy6MgvC2X1X4kPXHsidIO0AVcJr")
        .unwrap();
    let imported = Imported::new(ImportedDigest::Sha256, &digest).unwrap();
    let tags = Some(vec!["management".to_owned()]);
    users
        .put("bob", PasswordChange::Import(imported), tags)
        .await
        .unwrap();
    let is_imported = || {
        let account = users.store.read().account("bob").cloned().unwrap();
        matches!(account.credentials, Credentials::Imported(_))
    };
    assert!(users.authenticate("bob", b"wrong", remote()).await.is_err());
    assert!(is_imported());
    let bob = users.authenticate("bob", b"guest", remote()).await.unwrap();
    assert!(!is_imported());
    assert!(
        users.authorizer().has_tag(&bob, "management"),
        "it is the same user"
    );
    assert!(users.authenticate("bob", b"guest", remote()).await.is_ok());
    assert!(users.authenticate("bob", b"wrong", remote()).await.is_err());
}

/// Thousands of clients of one user that connect at once cost a hash for each processor, not one each.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_one_user_is_hashed_a_few_times() {
    let broker = broker(&memory()).await;
    let users = broker.users().clone();
    users.put("alice", password("secret"), None).await.unwrap();
    let attempts = (0..2_000).map(|_| {
        let users = users.clone();
        tokio::spawn(async move { users.authenticate("alice", b"secret", remote()).await.is_ok() })
    });
    let attempts: Vec<_> = attempts.collect();
    let all = async {
        for attempt in attempts {
            assert!(attempt.await.unwrap());
        }
    };
    // Two thousand hashes take a minute and more.
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
}

/// The clock stands still, so that no turn ever comes: who guesses is refused unseen, who was there before is not.
#[tokio::test(start_paused = true)]
async fn who_guesses_has_to_wait_and_who_was_there_before_does_not() {
    let broker = broker(&memory()).await;
    let users = broker.users();
    users.put("alice", password("secret"), None).await.unwrap();
    users.put("bob", password("secret"), None).await.unwrap();
    assert!(users.authenticate("alice", b"secret", remote()).await.is_ok());
    let mut refused = None;
    for _ in 0..200 {
        refused = users.authenticate("alice", b"guess", remote()).await.err();
        if refused == Some(Refused::TooManyFailures) {
            break;
        }
    }
    assert_eq!(refused, Some(Refused::TooManyFailures));
    assert!(users.authenticate("alice", b"secret", remote()).await.is_ok());
    let elsewhere = Origin::of_socket([10, 0, 0, 2].into());
    assert!(users.authenticate("bob", b"secret", elsewhere).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await;
    let users = first.users();
    let tags = Some(vec!["a".to_owned(), "b".to_owned(), "a".to_owned()]);
    users.put("alice", password("secret"), tags).await.unwrap();
    users.put("gone", password("secret"), None).await.unwrap();
    assert_eq!(users.set_permissions(permissions("/", "alice")).await, Ok(true));
    assert_eq!(users.set_permissions(permissions("/", "alice")).await, Ok(false));
    users.set_permissions(permissions("/", "gone")).await.unwrap();
    assert_eq!(
        users
            .set_topic_permissions(topic_permissions("/", "alice", "e"))
            .await,
        Ok(true)
    );
    users
        .set_topic_permissions(topic_permissions("/", "gone", "e"))
        .await
        .unwrap();
    users.delete("gone").await.unwrap();
    users.delete("guest").await.unwrap();
    // The disk as a crash leaves it.
    let crashed = Recorder::from_image(disk.image());
    close(first, engine).await;
    for disk in [disk, crashed] {
        let engine = open(&disk);
        let broker = broker(&engine).await;
        let users = broker.users();
        let names: Vec<_> = users.users().into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["alice".into()], "the default user does not come back");
        let alice = users.user("alice").unwrap();
        assert_eq!(&*alice.tags, ["a".into(), "b".into()]);
        assert_eq!(users.permissions(), [permissions("/", "alice")]);
        assert_eq!(users.topic_permissions(), [topic_permissions("/", "alice", "e")]);
        assert!(users.authenticate("alice", b"secret", remote()).await.is_ok());
        assert!(users.authenticate("guest", b"guest", local()).await.is_err());
        close(broker, engine).await;
    }
}

/// The first change stores the default user, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_user_stays_when_others_come() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await;
    first
        .users()
        .put("alice", password("secret"), None)
        .await
        .unwrap();
    close(first, engine).await;
    let engine = open(&disk);
    let broker = broker(&engine).await;
    assert_eq!(broker.users().users().len(), 2);
    assert_eq!(broker.users().permissions().len(), 1);
    assert!(
        broker
            .users()
            .authenticate("guest", b"guest", local())
            .await
            .is_ok()
    );
    close(broker, engine).await;
}

#[tokio::test]
async fn what_belongs_to_a_virtual_host_goes_with_it() {
    let broker = broker(&memory()).await;
    let users = broker.users();
    users.put("alice", PasswordChange::Keep, None).await.unwrap();
    for virtual_host in ["/", "other"] {
        users
            .set_permissions(permissions(virtual_host, "alice"))
            .await
            .unwrap();
        users
            .set_topic_permissions(topic_permissions(virtual_host, "alice", "e"))
            .await
            .unwrap();
        users
            .set_topic_permissions(topic_permissions(virtual_host, "alice", "f"))
            .await
            .unwrap();
    }
    users.forget_virtual_host("other").await.unwrap();
    assert!(users.permissions().iter().all(|of| &*of.virtual_host == "/"));
    assert_eq!(users.topic_permissions().len(), 2);
    assert_eq!(
        users.clear_topic_permissions("/", "alice", Some("e")).await,
        Ok(true)
    );
    assert_eq!(
        users.clear_topic_permissions("/", "alice", Some("e")).await,
        Ok(false)
    );
    assert_eq!(users.topic_permissions(), [topic_permissions("/", "alice", "f")]);
    assert_eq!(users.clear_topic_permissions("/", "alice", None).await, Ok(true));
    assert_eq!(users.clear_permissions("/", "alice").await, Ok(true));
    assert_eq!(users.clear_permissions("/", "alice").await, Ok(false));
}

#[tokio::test]
async fn what_is_invalid_is_refused_and_changes_nothing() {
    let engine = memory();
    let broker = broker(&engine).await;
    let users = broker.users();
    let long = "x".repeat(USER_NAME_BYTES_MAX + 1);
    for name in ["", &long, "a\nb", "\u{7f}"] {
        assert_eq!(
            users.put(name, PasswordChange::Keep, None).await,
            Err(UsersError::InvalidName)
        );
    }
    let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    for wrong in ["", &long] {
        assert_eq!(
            users.put("u", password(wrong), None).await,
            Err(UsersError::InvalidPassword)
        );
    }
    let many = (0..=TAGS_MAX).map(|nth| nth.to_string()).collect();
    for tags in [vec![String::new()], vec!["a\n".to_owned()], many] {
        let refused = users.put("u", PasswordChange::Keep, Some(tags)).await;
        assert_eq!(refused, Err(UsersError::InvalidTags));
    }
    let unknown = UsersError::UnknownUser("u".to_owned());
    assert_eq!(
        users.set_permissions(permissions("/", "u")).await,
        Err(unknown.clone())
    );
    assert_eq!(
        users
            .set_topic_permissions(topic_permissions("/", "u", "e"))
            .await,
        Err(unknown.clone())
    );
    assert_eq!(users.delete("u").await, Err(unknown));
    let wrong = Permissions {
        read: "(".into(),
        ..permissions("/", "guest")
    };
    assert!(matches!(
        users.set_permissions(wrong).await,
        Err(UsersError::InvalidExpression(_))
    ));
    assert_eq!(engine.bounds(LogId::USERS), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_understood_is_named() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await;
    first.users().delete("guest").await.unwrap();
    let record = StateRecord {
        key: vec![9, 9].into(),
        value: Some(vec![1, 2].into()),
    };
    first
        .users()
        .store
        .log
        .append(&[record], 1)
        .unwrap()
        .await
        .unwrap();
    close(first, engine).await;
    let engine = open(&disk);
    let environment = Environment {
        clock: Clock::new(|| 1, || Duration::ZERO),
        random: Arc::new(|| [1; 16]),
    };
    let refused = Broker::open(engine.clone(), Config::default(), environment)
        .await
        .err()
        .unwrap();
    let said = refused.to_string();
    assert!(
        said.contains("the type of a record is wrong") && said.contains("`firth doctor --accept users:4-4`"),
        "{said}"
    );
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}
