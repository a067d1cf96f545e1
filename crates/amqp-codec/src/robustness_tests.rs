//! Lengths that lie, cuts and noise: an error or a value, never a panic, and never more memory than was received.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::arbitrary::Entropy;
use crate::content::{BasicProperties, ContentHeader};
use crate::method::{Method, decode_method};
use crate::{FieldTable, Taken, take_frame};

fn read_as_all(bytes: &Bytes) {
    let mut received = bytes.clone();
    while let Ok(Taken::Whole(frame)) = take_frame(&mut received, 0) {
        let _ = decode_method(&frame.payload);
    }
    if let Ok(method) = decode_method(bytes) {
        let _ = format!("{method:?}");
    }
    if let Ok(table) = FieldTable::try_from(bytes.clone()) {
        let _ = format!("{table:?}");
    }
    if let Ok(header) = ContentHeader::decode(bytes) {
        let _ = BasicProperties::read(&header.properties);
    }
    let _ = BasicProperties::read(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_refused_or_read(bytes: Vec<u8>) {
        read_as_all(&bytes.into());
    }

    #[test]
    fn changed_methods_are_refused_or_read(seed: u64) {
        let mut entropy = Entropy(seed);
        for method in Method::arbitrary_of_all(&mut entropy) {
            let mut buf = BytesMut::new();
            method.write(&mut buf, 1);
            let payload = buf.split_off(7);
            for _ in 0..4 {
                let mut changed = payload.to_vec();
                let at = entropy.below(changed.len() as u64);
                changed[at] = [0, 1, 0x7f, 0x80, 0xff][entropy.below(5)];
                read_as_all(&changed.into());
            }
        }
    }
}
