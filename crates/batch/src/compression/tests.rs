use std::io;

use proptest::prelude::*;

use super::*;

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const MIB: usize = 1024 * 1024;

#[test]
fn codes_and_names_are_kafkas() {
    let names = ["none", "gzip", "snappy", "lz4", "zstd"];
    for (code, name) in (0i16..).zip(names) {
        let codec = Compression::from_code(code).unwrap();
        assert_eq!((codec.code(), codec.name()), (code, name));
        assert_eq!(Compression::from_name(name), Some(codec));
    }
    assert_eq!(Compression::from_code(5), None);
    assert_eq!(Compression::from_code(-1), None);
    assert_eq!(Compression::from_name("producer"), None);
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeroes = vec![0; 32 * MIB];
    for codec in CODECS {
        let bomb = compress(codec, &zeroes);
        assert!(bomb.len() < 2 * MIB, "{codec}: {} bytes", bomb.len());
        assert_eq!(
            decompress(codec, &bomb, MIB),
            Err(Error::TooLarge { limit: MIB }),
            "{codec}"
        );
    }
    let raw = snap::raw::Encoder::new().compress_vec(&zeroes).unwrap();
    assert_eq!(
        decompress(Compression::Snappy, &raw, MIB),
        Err(Error::TooLarge { limit: MIB })
    );
}

#[test]
fn an_endless_stream_is_read_to_the_limit_only() {
    let endless = read_bounded(Compression::Gzip, io::repeat(0), MIB);
    assert_eq!(endless, Err(Error::TooLarge { limit: MIB }));
}

#[test]
fn the_limit_itself_is_allowed() {
    let bytes = vec![7; 100_000];
    for codec in Compression::ALL {
        let small = compress(codec, &bytes);
        assert_eq!(
            decompress(codec, &small, bytes.len()).as_deref(),
            Ok(bytes.as_slice()),
            "{codec}"
        );
        let limit = bytes.len() - 1;
        assert_eq!(
            decompress(codec, &small, limit),
            Err(Error::TooLarge { limit }),
            "{codec}"
        );
    }
}

#[test]
fn a_snappy_block_gets_no_memory_on_its_word() {
    // Claims 2^32 - 1 bytes, then 128 MiB, and has none of them.
    for claim in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x80, 0x80, 0x80, 0x40]] {
        let error = decompress(Compression::Snappy, claim, usize::MAX).unwrap_err();
        let reason = "a length that the block cannot hold".to_string();
        assert_eq!(
            error,
            Error::Decompression {
                codec: Compression::Snappy,
                reason
            }
        );
    }
}

#[test]
fn a_zstd_window_beyond_128_mib_is_refused() {
    // Magic, a descriptor without a content size, a window of 2^(10 + 20) bytes, one empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00];
    let error = decompress(Compression::Zstd, &frame, MIB).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Decompression {
                codec: Compression::Zstd,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn snappy_is_framed_in_blocks_of_32_kib() {
    let framed = compress(Compression::Snappy, &[1; 70_000]);
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let mut rest = &framed[16..];
    let mut lens = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (block, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        lens.push(snap::raw::decompress_len(block).unwrap());
        rest = after;
    }
    assert_eq!(lens, [32 * 1024, 32 * 1024, 70_000 - 64 * 1024]);
}

#[test]
fn framed_snappy_streams_may_follow_each_other() {
    let streams = [
        compress(Compression::Snappy, b"one, "),
        compress(Compression::Snappy, b"two"),
    ]
    .concat();
    assert_eq!(
        decompress(Compression::Snappy, &streams, 100).unwrap(),
        b"one, two"
    );
}

#[test]
fn broken_snappy_framing_says_what_is_missing() {
    let framed = compress(Compression::Snappy, b"payload");
    let reason = |bytes: &[u8]| match decompress(Compression::Snappy, bytes, 100) {
        Err(Error::Decompression { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&framed[..12]), "truncated header");
    assert_eq!(reason(&framed[..18]), "truncated block length");
    assert_eq!(reason(&framed[..framed.len() - 1]), "truncated block");
    let negative = [&framed[..16], &[0xff; 4]].concat();
    assert_eq!(reason(&negative), "negative block length");
}

#[test]
fn lz4_frames_have_the_independent_blocks_that_java_requires() {
    let frame = compress(Compression::Lz4, &[1; 200_000]);
    assert_eq!(frame[..4], 0x184d_2204u32.to_le_bytes());
    let (flags, block_size) = (frame[4], frame[5] >> 4);
    assert_eq!(flags >> 6, 1, "version");
    assert_ne!(flags & 0x20, 0, "blocks are independent");
    assert_eq!(block_size, 4, "64 KiB");
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.as_slice())
}

/// Bytes that compress to something: a few values in runs, with noise between.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), 1..3000usize).prop_map(|(byte, len)| vec![byte; len]);
    let noise = proptest::collection::vec(any::<u8>(), 0..300);
    proptest::collection::vec(prop_oneof![run, noise], 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn decompresses_what_was_compressed(codec in codec(), bytes in bytes()) {
        let small = compress(codec, &bytes);
        prop_assert_eq!(decompress(codec, &small, bytes.len()).unwrap(), bytes);
    }

    #[test]
    fn a_truncated_stream_never_gives_other_bytes(codec in codec(), bytes in bytes(), cut: prop::sample::Index) {
        let small = compress(codec, &bytes);
        if let Ok(found) = decompress(codec, &small[..cut.index(small.len() + 1)], bytes.len()) {
            prop_assert!(bytes.starts_with(&found));
        }
    }

    #[test]
    fn mutated_streams_stay_within_the_limit(
        codec in codec(),
        bytes in bytes(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut small = compress(codec, &bytes);
        for (at, byte) in changes {
            if !small.is_empty() {
                let at = at.index(small.len());
                small[at] = byte;
            }
        }
        if let Ok(found) = decompress(codec, &small, 64 * 1024) {
            prop_assert!(found.len() <= 64 * 1024);
        }
    }

    #[test]
    fn no_bytes_make_a_codec_panic(codec in codec(), bytes: Vec<u8>) {
        let _ = decompress(codec, &bytes, 64 * 1024);
    }
}
