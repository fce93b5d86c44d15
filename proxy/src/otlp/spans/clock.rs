//! How far the daemon's clock is from ours: read off what the daemon says of its time, noted on
//! what it timed, and corrected nowhere.

use std::time::{Duration, UNIX_EPOCH};

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Exchange};

use super::builds::ClockOffset;

/// From a call's response headers: BuildKit sends `buildkit-current-timestamp` with `Status` and
/// `ListenBuildHistory` since 0.12 (`control/control.go`). The way from the daemon is in it.
pub(super) fn of_call(row: &Call) -> Option<ClockOffset> {
    let mut headers = row.response_metadata.iter();
    let told = headers.find(|(name, _)| name == "buildkit-current-timestamp")?;
    Some(ClockOffset {
        ahead: between(rfc3339(&told.1)?, row.answered?),
        source: "buildkit-current-timestamp",
    })
}

/// From the `Date` of an answer, which is cut to whole seconds: what is within the second is none.
pub(super) fn of_exchange(row: &Exchange) -> Option<ClockOffset> {
    const SECOND: i64 = 1_000_000_000;
    let mut headers = row.response_headers.iter();
    let told = headers.find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    let ahead = between(http_date(&told.1)?, row.answered?);
    Some(ClockOffset {
        ahead: if (-SECOND..=0).contains(&ahead) {
            0
        } else {
            ahead
        },
        source: "http date, to the second",
    })
}

fn between(told: Time, seen: Time) -> i64 {
    let apart = i128::from(told.0) - i128::from(seen.0);
    i64::try_from(apart).unwrap_or(if apart < 0 { i64::MIN } else { i64::MAX })
}

/// Go's RFC3339Nano, in any time zone.
pub(crate) fn rfc3339(text: &str) -> Option<Time> {
    let (local, offset) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            match zone.as_bytes().first()? {
                b'+' => (local, seconds),
                b'-' => (local, -seconds),
                _ => return None,
            }
        }
    };
    let at = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let passed = at.duration_since(UNIX_EPOCH).ok()?;
    let shift = Duration::from_secs(offset.unsigned_abs());
    let passed = match offset < 0 {
        true => passed.checked_add(shift)?,
        false => passed.checked_sub(shift)?,
    };
    Some(Time::default().after(passed))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7); the obsolete forms are not read.
fn http_date(text: &str) -> Option<Time> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day = parts.next()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year = parts.next()?;
    let time = parts.next()?;
    (parts.next()? == "GMT").then_some(())?;
    rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_any_zone() {
        let at = Some(Time(784_111_777_500_000_000));
        assert_eq!(rfc3339("1994-11-06T08:49:37.5Z"), at);
        assert_eq!(rfc3339("1994-11-06T10:49:37.5+02:00"), at);
        assert_eq!(rfc3339("1994-11-06T03:19:37.5-05:30"), at);
        for bad in [
            "",
            "Z",
            "+02:00",
            "1994-11-06",
            "1994-11-06T10:49:37.5+0x:00",
            "é+02:00",
        ] {
            assert_eq!(rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_of_http() {
        let at = Some(Time(784_111_777_000_000_000));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), at);
        assert_eq!(http_date("Sunday, 06-Nov-94 08:49:37 GMT"), None);
        assert_eq!(http_date(""), None);
    }
}
