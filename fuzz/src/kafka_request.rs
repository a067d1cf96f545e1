//! Reading any bytes as a request frame: what is read means the same when it is written and read again.

use bytes::{Bytes, BytesMut};
use firth_kafka_codec::{SIZE_BYTES, decode_header, decode_request};

pub fn run(bytes: &[u8]) {
    let frame = Bytes::copy_from_slice(bytes);
    let Ok((header, body)) = decode_header(&frame) else {
        return;
    };
    assert!(header.api_key.serves(header.api_version));
    let Ok(request) = decode_request(&header, &body) else {
        return;
    };
    let written = request.encode(&mut BytesMut::new(), &header);
    let written = written
        .expect("what was read can be written")
        .into_parts()
        .flatten();
    let again: Bytes = written.skip(SIZE_BYTES).collect();
    let (header_again, body_again) = decode_header(&again).expect("what was written can be read");
    assert_eq!(header_again, header);
    assert_eq!(decode_request(&header_again, &body_again), Ok(request));
}
