use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn table() -> Table {
    Table::new(3)
}

#[test]
fn a_few_failures_cost_nothing() {
    let table = table();
    for _ in 0..2 {
        table.failed(1, SECOND);
        assert_eq!(table.turn(1, SECOND), Ok(SECOND));
    }
}

#[test]
fn attempts_then_come_one_after_the_other_and_the_next_are_refused() {
    let table = table();
    (0..3).for_each(|_| table.failed(1, SECOND));
    let turns: Vec<_> = std::iter::from_fn(|| table.turn(1, SECOND).ok()).collect();
    let expected: Vec<_> = (0..=40).map(|nth| SECOND + nth * INTERVAL).collect();
    assert_eq!(turns, expected);
    assert_eq!(table.turn(2, SECOND), Ok(SECOND), "others are not concerned");
    assert_eq!(table.turn(1, 2 * SECOND), Ok(SECOND + 41 * INTERVAL));
}

#[test]
fn turns_come_later_with_each_failure_up_to_a_limit() {
    let table = table();
    let mut now = SECOND;
    for (failures, interval) in [(3, 1), (4, 2), (5, 4), (6, 8), (7, 16), (8, 20), (60, 20)] {
        while table.lock().get(&1).map_or(0, |entry| entry.failures) < failures {
            table.failed(1, now);
        }
        now += Duration::from_secs(30);
        assert_eq!(table.turn(1, now), Ok(now));
        assert_eq!(table.turn(1, now), Ok(now + interval * INTERVAL), "{failures}");
    }
}

#[test]
fn failures_are_forgotten_after_a_while() {
    let table = table();
    (0..50).for_each(|_| table.failed(1, SECOND));
    while table.turn(1, SECOND).is_ok() {}
    assert_eq!(table.turn(1, SECOND + FORGET_AFTER), Ok(SECOND + FORGET_AFTER));
    assert!(table.lock().is_empty());
}

#[test]
fn what_is_remembered_is_bounded_and_the_worst_stays() {
    let table = table();
    (0..20).for_each(|_| table.failed(u64::MAX, SECOND));
    for key in 0..20_000 {
        table.failed(key, SECOND);
    }
    assert_eq!(table.lock().len(), ENTRIES_MAX);
    assert_eq!(table.lock()[&u64::MAX].failures, 20);
}
