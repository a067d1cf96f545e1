//! Walking headers over any bytes: what is found is whole, lies one after the other, and accounts for all bytes.

use firth_batch::{Batches, Error, HEADER_LEN};

pub fn run(bytes: &[u8]) {
    let mut walk = Batches::new(bytes);
    let mut walked = 0;
    let mut failure = None;
    for found in walk.by_ref() {
        match found {
            Ok((header, batch)) => {
                assert_eq!(batch.len(), header.total_len());
                assert_eq!(batch, &bytes[walked..walked + batch.len()]);
                let mut fixed = [0; HEADER_LEN];
                header.encode(&mut fixed);
                assert_eq!(fixed, batch[..HEADER_LEN], "a header encodes to its bytes");
                assert!(
                    header.base_offset <= header.last_offset()
                        && header.last_offset() <= header.next_offset()
                );
                walked += batch.len();
            }
            Err(error) => failure = Some(error),
        }
    }
    assert!(walk.next().is_none(), "an end stays an end");
    assert_eq!(walk.rest(), &bytes[walked..]);
    match failure {
        None => assert_eq!(walked, bytes.len(), "bytes that are no batch are an error"),
        Some(Error::Incomplete { needed, available }) => {
            assert_eq!(available, bytes.len() - walked);
            assert!(needed > available);
        }
        Some(_) => {}
    }
}
