//! The payload of a method frame (section 4.2.4):
//!
//! ```text
//! | class-id u16 | method-id u16 | fields |
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::class::ClassMethod;
use crate::classes::{access, basic, channel, confirm, connection, exchange, queue, tx};
use crate::error::Error;
use crate::frame::{FrameKind, write_frame};
use crate::primitives::{Reader, Writer};

macro_rules! methods {
    ($($variant:ident $class:ident,)*) => {
        /// A method of any class.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Method {
            $($variant($class::Method),)*
        }

        impl Method {
            pub fn class_id(&self) -> u16 {
                match self {
                    $(Method::$variant(_) => $class::CLASS_ID,)*
                }
            }

            pub fn method_id(&self) -> u16 {
                match self {
                    $(Method::$variant(method) => method.id(),)*
                }
            }

            /// As `queue.bind`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Method::$variant(method) => method.name(),)*
                }
            }

            /// Whether a content header and a body follow.
            pub fn has_content(&self) -> bool {
                match self {
                    $(Method::$variant(method) => method.has_content(),)*
                }
            }

            fn read(class_id: u16, method_id: u16, reader: &mut Reader<'_>) -> Result<Method, Error> {
                match class_id {
                    $($class::CLASS_ID => $class::Method::read(method_id, reader).map(Method::$variant),)*
                    class_id => Err(Error::UnknownMethod { class_id, method_id }),
                }
            }

            fn write_fields(&self, writer: &mut Writer<'_>) {
                match self {
                    $(Method::$variant(method) => method.write_fields(writer),)*
                }
            }

            #[cfg(test)]
            pub(crate) fn arbitrary_of_all(entropy: &mut crate::arbitrary::Entropy) -> Vec<Method> {
                [$($class::Method::arbitrary_of_all(entropy),)*].concat()
            }
        }
    };
}

methods! {
    Connection connection,
    Channel channel,
    Access access,
    Exchange exchange,
    Queue queue,
    Basic basic,
    Confirm confirm,
    Tx tx,
}

impl Method {
    /// Writes the frame of this method.
    pub fn write(&self, buf: &mut BytesMut, channel: u16) {
        write_frame(buf, FrameKind::Method, channel, |buf| {
            buf.put_u16(self.class_id());
            buf.put_u16(self.method_id());
            let mut writer = Writer::new(buf);
            self.write_fields(&mut writer);
            writer.finish();
        });
    }
}

/// Reads the payload of a method frame.
///
/// # Errors
/// There is no such method, or a field of it cannot be read, or something follows the last field.
pub fn decode_method(payload: &Bytes) -> Result<Method, Error> {
    let mut reader = Reader::new(payload, true);
    let class_id = reader.octets().map(u16::from_be_bytes)?;
    let method_id = reader.octets().map(u16::from_be_bytes)?;
    let method = Method::read(class_id, method_id, &mut reader)?;
    reader.finish().map_err(|error| error.at(method.name()))?;
    Ok(method)
}

/// Writes the frame of a method that is known where it is written.
pub fn write_method<M: ClassMethod>(buf: &mut BytesMut, channel: u16, method: &M) {
    write_frame(buf, FrameKind::Method, channel, |buf| {
        buf.put_u16(M::CLASS_ID);
        buf.put_u16(M::METHOD_ID);
        let mut writer = Writer::new(buf);
        method.write_fields(&mut writer);
        writer.finish();
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::Entropy;
    use crate::frame::{Taken, take_frame};

    fn payload(method: &Method) -> Bytes {
        let mut buf = BytesMut::new();
        method.write(&mut buf, 7);
        let Ok(Taken::Whole(frame)) = take_frame(&mut buf.freeze(), 0) else {
            panic!("a whole frame was written");
        };
        assert_eq!((frame.kind, frame.channel), (FrameKind::Method, 7));
        frame.payload
    }

    #[test]
    fn bits_share_an_octet() {
        let declare = queue::Declare {
            durable: true,
            no_wait: true,
            ..queue::Declare::default()
        };
        assert_eq!(&payload(&declare.into())[..], b"\0\x32\0\x0a\0\0\0\x12\0\0\0\0");
    }

    #[test]
    fn names_are_text_where_no_content_follows() {
        let delete = b"\0\x32\0\x28\0\0\x02q\xff\0".as_slice();
        let error = decode_method(&Bytes::from_static(delete)).unwrap_err();
        assert_eq!(
            error,
            Error::NotText {
                field: "queue.delete.queue"
            }
        );
        let publish = b"\0\x3c\0\x28\0\0\0\x02k\xff\0".as_slice();
        let Ok(Method::Basic(basic::Method::Publish(publish))) = decode_method(&Bytes::from_static(publish))
        else {
            panic!("a publish was read");
        };
        assert_eq!(publish.routing_key.as_bytes(), b"k\xff".as_slice());
    }

    #[test]
    fn what_is_no_method_is_refused() {
        let unknown = |class_id, method_id| Error::UnknownMethod { class_id, method_id };
        let cases: [(&'static [u8], Error); 5] = [
            (b"\0\x32\0", Error::incomplete(1)),
            (b"\0\x63\0\x01", unknown(99, 1)),
            (b"\0\x32\0\x63", unknown(50, 99)),
            (
                b"\0\x5a\0\x0a!",
                Error::Trailing {
                    field: "tx.select",
                    bytes: 1,
                },
            ),
            (
                b"\0\x55\0\x0a",
                Error::Incomplete {
                    field: "confirm.select.no_wait",
                    missing: 1,
                },
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode_method(&Bytes::from_static(bytes)), Err(error));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(seed: u64) {
            for method in Method::arbitrary_of_all(&mut Entropy(seed)) {
                let payload = payload(&method);
                prop_assert_eq!(decode_method(&payload), Ok(method.clone()));
                for cut in 0..payload.len().min(64) {
                    prop_assert!(decode_method(&payload.slice(..cut)).is_err(), "{} cut at {cut}", method.name());
                }
            }
        }
    }
}
