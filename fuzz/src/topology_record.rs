//! Reading any bytes as a record of the topology's log: what can be read is written again as it was. The first byte says how long
//! the key is.

use firth_broker::fuzzing;

pub fn run(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let Some((key, value)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    if let Some(encoded) = fuzzing::topology_record(key, value) {
        assert_eq!(encoded, (key.to_vec(), value.to_vec()));
    }
}
