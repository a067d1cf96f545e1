//! Reading any bytes as a value of the definitions log: what can be read is written again as it was.

use firth_broker::fuzzing;

pub fn run(bytes: &[u8]) {
    if let Some(encoded) = fuzzing::definition(bytes) {
        assert_eq!(encoded, bytes);
    }
}
