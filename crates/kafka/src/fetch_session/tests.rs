use std::time::Duration;

use firth_kafka_codec::{FetchPartition, FetchTopic, ForgottenTopic};

use super::*;

const START: Duration = Duration::ZERO;

fn random(id: u8) -> [u8; 16] {
    let mut random = [0; 16];
    random[3] = id;
    random
}

fn topic(partitions: std::ops::Range<i32>) -> FetchTopic {
    let partitions = partitions.map(|partition| FetchPartition {
        partition,
        ..Default::default()
    });
    FetchTopic {
        topic: "t".into(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn request(session_id: i32, session_epoch: i32, partitions: std::ops::Range<i32>) -> FetchRequest {
    FetchRequest {
        session_id,
        session_epoch,
        topics: vec![topic(partitions)],
        ..Default::default()
    }
}

fn open(sessions: &FetchSessions, id: u8, size: i32, now: Duration) -> i32 {
    let turn = sessions
        .turn(&request(0, 0, 0..size), false, now)
        .unwrap_or_else(|_| panic!("a new session"));
    sessions.create(turn.partitions, random(id), now)
}

/// One request of the session that asks for nothing more.
fn poll(sessions: &FetchSessions, id: i32, epoch: i32, now: Duration) -> Result<usize, ErrorCode> {
    let turn = sessions.turn(
        &FetchRequest {
            session_id: id,
            session_epoch: epoch,
            ..Default::default()
        },
        false,
        now,
    )?;
    let size = turn.partitions.len();
    match turn.session {
        Session::Open(lease) => lease.put_back(turn.partitions),
        Session::None | Session::New => panic!("the session is open"),
    }
    Ok(size)
}

#[test]
fn epochs_go_up_and_after_the_last_comes_one() {
    let sessions = FetchSessions::new(10);
    let id = open(&sessions, 5, 3, START);
    assert_eq!(
        (id, poll(&sessions, 5, 1, START), poll(&sessions, 5, 2, START)),
        (5, Ok(3), Ok(3))
    );
    assert_eq!(
        poll(&sessions, 5, 2, START),
        Err(ErrorCode::InvalidFetchSessionEpoch)
    );
    assert_eq!(
        poll(&sessions, 6, 1, START),
        Err(ErrorCode::FetchSessionIdNotFound)
    );
    assert_eq!((next_epoch(1), next_epoch(i32::MAX)), (2, 1));
}

#[test]
fn ids_are_positive_and_of_one_session_each() {
    let sessions = FetchSessions::new(10);
    assert_eq!(sessions.create(partitions(1), [0xff; 16], START), i32::MAX);
    assert_eq!(sessions.create(partitions(1), [0xff; 16], START), 1);
    assert_eq!(sessions.create(partitions(1), [0; 16], START), 2);
    assert_eq!(sessions.create(partitions(0), random(9), START), NO_SESSION);
    assert_eq!(sessions.len(), 3);
}

fn partitions(size: i32) -> Box<Partitions> {
    let mut partitions = Box::new(Partitions::new(false));
    partitions.update(&[topic(0..size)], &[]);
    partitions
}

#[test]
fn a_session_whose_answer_was_lost_is_closed() {
    let sessions = FetchSessions::new(10);
    open(&sessions, 5, 3, START);
    let turn = sessions.turn(&request(5, 1, 0..0), false, START);
    assert_eq!(
        poll(&sessions, 5, 2, START),
        Err(ErrorCode::InvalidFetchSessionEpoch),
        "a request has it"
    );
    drop(turn);
    assert_eq!(
        poll(&sessions, 5, 2, START),
        Err(ErrorCode::FetchSessionIdNotFound)
    );
    assert_eq!(sessions.len(), 0);
}

#[test]
fn a_session_that_was_closed_during_a_request_stays_closed() {
    let sessions = FetchSessions::new(10);
    open(&sessions, 5, 3, START);
    let Ok(Turn {
        partitions,
        session: Session::Open(lease),
    }) = sessions.turn(&request(5, 1, 0..0), false, START)
    else {
        panic!("the session is open");
    };
    drop(sessions.turn(&request(5, FINAL_EPOCH, 0..1), false, START));
    lease.put_back(partitions);
    assert_eq!(sessions.len(), 0);
}

#[test]
fn a_full_broker_gives_places_to_those_who_gain_most() {
    let sessions = FetchSessions::new(2);
    let (small, large) = (open(&sessions, 1, 2, START), open(&sessions, 2, 5, START));
    assert_eq!(open(&sessions, 3, 100, START), NO_SESSION, "both are young");

    let later = EVICTABLE_AFTER + Duration::from_secs(1);
    assert_eq!(
        (poll(&sessions, small, 1, later), poll(&sessions, large, 1, later)),
        (Ok(2), Ok(5))
    );
    assert_eq!(
        open(&sessions, 4, 2, later),
        NO_SESSION,
        "it is not larger than the smallest"
    );
    assert_eq!(open(&sessions, 5, 3, later), 5);
    assert_eq!(
        poll(&sessions, small, 2, later),
        Err(ErrorCode::FetchSessionIdNotFound)
    );

    let much_later = later + EVICTABLE_AFTER + Duration::from_secs(1);
    assert_eq!(poll(&sessions, 5, 1, much_later), Ok(3));
    assert_eq!(
        open(&sessions, 6, 1, much_later),
        6,
        "the other was not used for long"
    );
    assert_eq!(
        poll(&sessions, large, 2, much_later),
        Err(ErrorCode::FetchSessionIdNotFound)
    );
}

#[test]
fn turns_go_round_and_each_partition_has_one() {
    let mut partitions = partitions(3);
    partitions.update(&[topic(1..3)], &[]);
    let turns =
        |partitions: &mut Partitions| std::iter::from_fn(|| partitions.next_turn()).collect::<Vec<_>>();
    assert_eq!(turns(&mut partitions), [0, 1, 2]);
    partitions.give_turn(2);
    partitions.give_turn(0);
    partitions.give_turns_back(vec![1, 2]);
    assert_eq!(turns(&mut partitions), [1, 2, 0]);
    partitions.give_turn(1);
    let forgotten = ForgottenTopic {
        topic: "t".into(),
        partitions: vec![1, 7],
        ..Default::default()
    };
    partitions.update(&[topic(0..1)], &[forgotten]);
    assert_eq!((turns(&mut partitions), partitions.len()), (vec![0], 2));
}

#[test]
fn a_session_does_not_grow_with_what_it_forgot() {
    let mut partitions = partitions(1);
    for from in (0..200_000).step_by(100) {
        let forgotten = ForgottenTopic {
            topic: "t".into(),
            partitions: (from + 1..from + 101).collect(),
            ..Default::default()
        };
        partitions.update(&[topic(from + 1..from + 101)], &[]);
        partitions.update(&[], &[forgotten]);
    }
    assert_eq!(partitions.len(), 1);
    assert!(
        partitions.place_count() < 2 * FORGOTTEN,
        "{} places",
        partitions.place_count()
    );
    assert_eq!(
        partitions
            .next_turn()
            .and_then(|place| partitions.slot(place))
            .map(|slot| slot.asked.partition),
        Some(0)
    );
}

const FORGOTTEN: usize = 1100;
