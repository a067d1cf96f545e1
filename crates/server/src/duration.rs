use std::time::Duration;

/// A time such as `90s`, `10m`, `1h30m`, `2d`, `250ms`, or as ISO 8601 has it, `PT1H30M`, as Apache Kafka's tools take it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse(text).ok_or_else(|| "a time is written as 90s, 10m, 1h30m, 2d, or PT1H30M".to_owned())
}

fn parse(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.as_str();
    let mut in_time = true;
    if let Some(iso) = rest.strip_prefix('p') {
        rest = iso;
        in_time = false;
    }
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('t').filter(|_| !in_time) {
            (rest, in_time) = (after, true);
            continue;
        }
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(
            after
                .find(|c: char| !c.is_ascii_alphabetic() || c == 't')
                .unwrap_or(after.len()),
        );
        let unit_ms: u64 = match (unit, in_time) {
            ("ms", true) => 1,
            ("s", true) => 1000,
            ("m", true) => 60_000,
            ("h", true) => 3_600_000,
            // In ISO 8601 days stand before the T.
            ("d", _) => 86_400_000,
            ("w", _) => 7 * 86_400_000,
            _ => return None,
        };
        let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
        total = total.checked_add(Duration::from_millis(ms))?;
        parts += 1;
        rest = after;
    }
    (parts > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("0s", 0),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("PT1H30M", 5_400_000),
            ("P1DT1S", 86_401_000),
            ("P2D", 172_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "-1m",
            "1.5h",
            "1 h",
            "P",
            "PT",
            "P1M",
            "1y",
            "99999999999999999d",
            "10mx",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
