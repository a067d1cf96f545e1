/// A time of the wall clock for people, to the second. Days are counted as Howard Hinnant does, in years that begin in March.
pub(crate) fn utc(ms_since_1970: u64) -> String {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let seconds = ms_since_1970 / 1000;
    let days = seconds / 86_400 + DAYS_TO_1970;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    let year = year + era * 400;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A time of the wall clock as ISO 8601 has it, to the millisecond.
pub(crate) fn iso(ms_since_1970: u64) -> String {
    let text = utc(ms_since_1970).replacen(' ', "T", 1);
    let to_the_second = text.trim_end_matches(" UTC");
    format!("{to_the_second}.{:03}Z", ms_since_1970 % 1000)
}

/// Milliseconds since 1970 of a time such as `2026-01-31T12:00:00.123Z`. Seconds, their fraction and the zone may be left out,
/// which is UTC then; another one is written as `+01:00`.
pub(crate) fn parse_utc(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let (time, zone_minutes) = zone(time)?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u16>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<u16>().ok());
    let (hour, minute) = (clock.next()??, clock.next()??);
    let second = clock.next().unwrap_or(Some(0))?;
    let is_fraction = (1..=3).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if hour > 23 || minute > 59 || second > 59 || !is_fraction {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").parse().ok()?;
    let seconds = i64::from(hour) * 3600 + (i64::from(minute) - zone_minutes) * 60 + i64::from(second);
    let since_1970 = (days_since_1970(year, month, day)? * 86_400 + seconds) * 1000 + ms;
    (since_1970 >= 0).then_some(since_1970)
}

/// The time without its zone, and by how many minutes that is before UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(utc) = time.strip_suffix('Z') {
        return Some((utc, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let (time, zone) = time.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 18 || minutes > 59 {
        return None;
    }
    let minutes = i64::from(hours) * 60 + i64::from(minutes);
    Some((time, if zone.starts_with('-') { -minutes } else { minutes }))
}

/// For clap.
pub(crate) fn argument(text: &str) -> Result<i64, String> {
    parse_utc(text).ok_or_else(|| {
        "a time is written as 2026-01-31T12:00:00, 2026-01-31T12:00:00.123Z or 2026-01-31T13:00+01:00"
            .to_owned()
    })
}

/// Days are counted in years that begin in March, as above.
fn days_since_1970(year: u16, month: u16, day: u16) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_of_month = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=days_of_month).contains(&day) {
        return None;
    }
    let (year, month) = match month {
        3.. => (i64::from(year), i64::from(month) - 3),
        _ => (i64::from(year) - 1, i64::from(month) + 9),
    };
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::{iso, parse_utc, utc};

    #[test]
    fn times_are_read_as_they_are_written() {
        for seconds in [
            0,
            951_782_399,
            951_782_400,
            1_709_251_199,
            1_767_225_599,
            4_107_542_400,
        ] {
            let text = utc(seconds * 1000).replacen(' ', "T", 1);
            let text = text.strip_suffix(" UTC").unwrap();
            assert_eq!(
                parse_utc(text),
                Some(i64::try_from(seconds).unwrap() * 1000),
                "{text}"
            );
        }
        assert_eq!(parse_utc(&iso(1_767_225_599_042)), Some(1_767_225_599_042));
        assert_eq!(parse_utc("1970-01-01T00:01"), Some(60_000));
        assert_eq!(parse_utc("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(parse_utc("1970-01-01T01:00:01+01:00"), Some(1000));
        assert_eq!(parse_utc("1970-01-01T00:00:00.5-01:30"), Some(5_400_500));
        assert_eq!(parse_utc("1970-01-01T00:00:00.007"), Some(7));
        for text in [
            "",
            "1970-01-01",
            "1970-13-01T00:00",
            "2025-02-29T00:00",
            "1970-01-01T24:00",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00.1234",
            "1969-12-31T00:00",
            "1970-01-01T00",
            "1970-01-01T00:00+01:00",
            "1970-01-01T00:00+1",
            "2026-01-01T00:00+19:00",
            "2026-01-01T00:00+01:60",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds * 1000), date);
        }
    }
}
