//! Reading any bytes as a record of the log of queues, and as what a message died of: what can be read says the same when it is
//! written again. The first byte says how long the key is.

use firth_broker::fuzzing;

pub fn run(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let (deaths, again) = fuzzing::deaths(rest);
    assert_eq!(deaths, again);
    let Some((key, value)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    if let Some((read, again)) = fuzzing::queue_record(key, value) {
        assert_eq!(read, again);
    }
}
