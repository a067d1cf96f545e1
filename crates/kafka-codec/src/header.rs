//! The header of a request (KIP-511, KIP-482):
//!
//! ```text
//! | api key i16 | api version i16 | correlation id i32 | client id string i16, nullable | tagged fields |
//! |<--------------------------- versions 1 and 2 ------------------------------------->| version 2 only |
//! ```
//!
//! The client id is never compact. Version 2 goes with the flexible versions of a request. (Version 0, without a client
//! id, belonged to ControlledShutdown version 0 alone, which no broker serves any more.) The header of a response is
//! the correlation id, followed by tagged fields in flexible versions of all APIs but ApiVersions.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error::Error;
use crate::primitives::{ByteStr, Reader};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: ApiKey,
    /// One that is served: [`decode_header`] refuses others.
    pub api_version: i16,
    /// Returned in the response as it came.
    pub correlation_id: i32,
    pub client_id: Option<ByteStr>,
}

/// Reads the header of a request from a frame without its size prefix, and gives the body as a slice of the frame.
///
/// # Errors
/// `UnsupportedVersion` for ApiVersions is answered with [`crate::ApiVersionsResponse::unsupported_version`]; after any
/// other error the connection is closed.
pub fn decode_header(frame: &Bytes) -> Result<(RequestHeader, Bytes), Error> {
    let mut reader = Reader::new(frame, false);
    let (key, api_version, correlation_id) = fixed_part(&mut reader).map_err(|e| e.at("RequestHeader"))?;
    let Some(api_key) = ApiKey::from_i16(key) else {
        return Err(Error::UnsupportedApi {
            api_key: key,
            api_version,
            correlation_id,
        });
    };
    if !api_key.serves(api_version) {
        return Err(Error::UnsupportedVersion {
            api_key,
            api_version,
            correlation_id,
        });
    }
    let client_id = reader
        .string()
        .map_err(|error| error.at("RequestHeader.client_id"))?;
    reader.set_flexible(api_key.is_flexible(api_version));
    reader
        .tagged_fields(|_, _| Ok(false))
        .map_err(|error| error.at("RequestHeader (tagged fields)"))?;
    Ok((
        RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id,
        },
        reader.into_rest(),
    ))
}

fn fixed_part(reader: &mut Reader<'_>) -> Result<(i16, i16, i32), Error> {
    Ok((reader.i16()?, reader.i16()?, reader.i32()?))
}
