use std::fs;

use super::*;

fn is_aligned(buffer: &AlignedBuffer) -> bool {
    buffer.as_slice().as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// Page faults of this thread that needed no I/O: field 10 of `/proc/thread-self/stat`.
fn minor_faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().nth(7).unwrap().parse().unwrap()
}

#[test]
fn data_starts_aligned_and_survives_growth() {
    let mut buffer = AlignedBuffer::default();
    assert_eq!(buffer.capacity(), 0);
    let mut expected = Vec::new();
    for n in 1..300_u32 {
        let piece = vec![n as u8; n as usize];
        buffer.extend_from_slice(&piece);
        expected.extend_from_slice(&piece);
        assert!(is_aligned(&buffer));
    }
    assert_eq!(buffer.as_slice(), expected);
    assert!(buffer.capacity() >= expected.len());
}

#[test]
fn a_resize_shows_zeros_and_never_an_earlier_use() {
    let pool = BufferPool::new(1 << 20);
    let mut buffer = pool.take(8192);
    buffer.extend_from_slice(&[7; 8192]);
    drop(buffer);

    let mut buffer = pool.take(8192);
    assert!(buffer.is_empty());
    buffer.extend_from_slice(b"abc");
    buffer.resize_zeroed(5000);
    assert_eq!(&buffer.as_slice()[..4], b"abc\0");
    assert!(buffer.as_slice()[3..].iter().all(|byte| *byte == 0));
    buffer.resize_zeroed(2);
    assert_eq!(buffer.as_slice(), b"ab");
}

#[test]
fn the_last_slice_returns_the_allocation() {
    let pool = BufferPool::new(1 << 20);
    let mut buffer = pool.take(10_000);
    buffer.extend_from_slice(&[1; 10_000]);
    let address = buffer.as_slice().as_ptr();
    let whole = buffer.freeze();
    let part = whole.slice(5000..5010);
    drop(whole);
    assert_eq!(pool.idle_bytes(), 0, "a slice still shows the bytes");
    assert_eq!(part[..], [1; 10]);
    drop(part);
    assert_eq!(pool.idle_bytes(), 12_288 + ALIGNMENT);

    let again = pool.take(12_288);
    assert_eq!(again.as_slice().as_ptr(), address);
    assert_eq!(pool.idle_bytes(), 0);
}

#[test]
fn little_of_a_large_buffer_is_more_than_was_asked_for() {
    for capacity in (ALIGNMENT..4 << 20).step_by(3 * ALIGNMENT + 1) {
        let taken = AlignedBuffer::with_capacity(capacity).capacity();
        assert!(taken >= capacity);
        assert!(
            taken - capacity < (capacity / 4).max(ALIGNMENT),
            "{taken} for {capacity}"
        );
    }
}

#[test]
fn growth_returns_the_smaller_allocation() {
    let pool = BufferPool::new(1 << 20);
    let mut buffer = pool.take(4096);
    buffer.extend_from_slice(&[3; 4096]);
    buffer.extend_from_slice(&[4]);
    assert_eq!(pool.idle_bytes(), 4096 + ALIGNMENT);
    assert_eq!((buffer.as_slice()[4095], buffer.as_slice()[4096]), (3, 4));
    pool.shrink();
    assert_eq!(pool.idle_bytes(), 0);
}

#[test]
fn idle_memory_is_bounded_and_the_oldest_goes_first() {
    let pool = BufferPool::new(64 * 1024);
    drop(pool.take(32 * 1024));
    assert_eq!(pool.idle_bytes(), 32 * 1024 + ALIGNMENT);
    let small: Vec<_> = (0..6).map(|_| pool.take(4096)).collect();
    drop(small);
    assert_eq!(
        pool.idle_bytes(),
        6 * (4096 + ALIGNMENT),
        "the large one, unused the longest, made room"
    );
    drop(pool.take(1 << 20));
    assert!(
        pool.idle_bytes() <= 64 * 1024,
        "what exceeds the limit alone is not kept"
    );
}

#[test]
fn frozen_bytes_may_be_dropped_on_another_thread() {
    let pool = BufferPool::new(1 << 20);
    let mut buffer = pool.take(100);
    buffer.extend_from_slice(b"payload");
    let bytes = buffer.freeze();
    std::thread::spawn(move || assert_eq!(&bytes[..], b"payload"))
        .join()
        .unwrap();
    assert_eq!(pool.idle_bytes(), 4096 + ALIGNMENT);
}

#[test]
fn reuse_takes_no_page_faults() {
    const BYTES: usize = 32 << 20;
    let pool = BufferPool::new(64 << 20);
    let faults = |pool: &BufferPool| {
        let before = minor_faults();
        let mut buffer = pool.take(BYTES);
        buffer.resize_for_overwrite(BYTES);
        for page in buffer.as_mut_slice().chunks_mut(ALIGNMENT) {
            page[0] = 1;
        }
        drop(buffer.freeze());
        minor_faults() - before
    };
    let first = faults(&pool);
    let second = faults(&pool);
    eprintln!("page faults for 32 MiB: {first} when allocated, {second} when reused");
    assert!(
        second < 16,
        "{second} page faults while touching a reused buffer, {first} at first"
    );
}
