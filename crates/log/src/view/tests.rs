use super::*;

fn extent(segment: u64, offsets: std::ops::Range<i64>) -> SealedExtent {
    SealedExtent {
        segment: SegmentId(segment),
        first_offset: offsets.start,
        next_offset: offsets.end,
        bytes: 100,
        max_timestamp: 0,
    }
}

fn slice(offsets: std::ops::Range<i64>) -> TailExtent {
    TailExtent {
        block: Arc::new(StoredBlock::empty(1)),
        position: 0,
        length: 10,
        crc: 0,
        first_offset: offsets.start,
        next_offset: offsets.end,
        max_timestamp: 0,
    }
}

/// Sealed up to 20, in the tail behind that, with offsets that nobody has before 10 and from 28 on.
fn view() -> View {
    let view = View::new(LogId(16), 0, 40);
    view.sealed(extent(1, 0..8), 0, &mut Freed::default());
    view.sealed(extent(2, 10..20), 0, &mut Freed::default());
    for first_offset in [20, 22, 24, 26] {
        assert!(view.publish_recovered(slice(first_offset..first_offset + 2)));
    }
    view
}

/// What a read gets to see: where its source begins and where it ends, or the hole that it is refused for.
fn locate(view: &View, from: i64) -> Result<Option<(i64, i64)>, (i64, i64)> {
    match view.locate(from, 1000) {
        Ok(Located { source, to, .. }) => Ok(match source {
            Source::Tail(slices) => Some((slices[0].first_offset, slices[slices.len() - 1].next_offset)),
            Source::Sealed(extent) => Some((extent.first_offset, extent.next_offset.min(to))),
            Source::Nothing => None,
        }),
        Err(ReadError::Damaged {
            first_offset,
            next_offset,
            ..
        }) => Err((first_offset, next_offset)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_read_ends_before_a_hole_and_is_refused_within() {
    let view = view();
    assert_eq!(locate(&view, 10), Ok(Some((10, 20))));
    assert_eq!(locate(&view, 21), Ok(Some((20, 28))));
    assert!(view.quarantine(12, 14));
    assert!(view.quarantine(24, 26));
    assert!(!view.quarantine(12, 14), "it is known");
    assert_eq!(locate(&view, 10), Ok(Some((10, 12))));
    assert_eq!(locate(&view, 12), Err((12, 14)));
    assert_eq!(locate(&view, 13), Err((12, 14)));
    assert_eq!(locate(&view, 14), Ok(Some((10, 20))));
    assert_eq!(locate(&view, 21), Ok(Some((20, 24))));
    assert_eq!(locate(&view, 24), Err((24, 26)));
    assert_eq!(locate(&view, 26), Ok(Some((26, 28))));
}

#[test]
fn a_read_does_not_reach_a_hole_through_offsets_that_nobody_has() {
    let view = view();
    assert_eq!(locate(&view, 8), Ok(Some((10, 20))));
    assert_eq!(locate(&view, 30), Ok(None));
    view.quarantine(9, 10);
    view.quarantine(35, 36);
    assert_eq!(locate(&view, 8), Err((9, 10)));
    assert_eq!(locate(&view, 30), Err((35, 36)));
    assert_eq!(locate(&view, 36), Ok(None));
}

#[test]
fn holes_within_holes_are_passed_by_none() {
    let view = view();
    view.quarantine(10, 18);
    view.quarantine(12, 13);
    view.quarantine(12, 19);
    assert_eq!(locate(&view, 0), Ok(Some((0, 8))));
    assert_eq!(locate(&view, 13), Err((10, 18)));
    assert_eq!(locate(&view, 18), Err((12, 19)));
    assert_eq!(locate(&view, 19), Ok(Some((10, 20))));
}

#[test]
fn trimming_forgets_holes_that_it_passes() {
    let view = view();
    view.quarantine(10, 12);
    view.quarantine(14, 16);
    view.trim(12, &mut Raised::default(), &mut Freed::default());
    assert_eq!(view.holes(), [(14, 16)]);
    assert!(!view.quarantine(3, 12), "it is trimmed");
    view.trim(15, &mut Raised::default(), &mut Freed::default());
    assert_eq!(locate(&view, 15), Err((14, 16)));
}

#[test]
fn a_hole_is_none_where_an_earlier_segment_has_it() {
    let view = view();
    let hole = |first_offset, next_offset| Hole {
        log: 16,
        first_offset,
        next_offset,
    };
    view.quarantine_sealed(&hole(3, 4), SegmentId(2));
    view.quarantine_sealed(&hole(12, 14), SegmentId(2));
    view.quarantine_sealed(&hole(8, 10), SegmentId(2));
    assert_eq!(view.holes(), [(8, 10), (12, 14)]);
}

#[test]
fn gaps_are_what_neither_is_there_nor_known_to_be_lost() {
    let view = view();
    assert_eq!(view.gaps(), [(8, 10), (28, 40)]);
    view.quarantine(8, 9);
    view.quarantine(30, 36);
    view.quarantine(12, 14);
    assert_eq!(view.gaps(), [(9, 10), (28, 30), (36, 40)]);
}
