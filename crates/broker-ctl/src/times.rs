//! Points in time in the form that a person has chosen.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::units;

/// How times look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Times {
    /// How long ago it was.
    #[default]
    Relative,
    /// Date and time of this host.
    Local,
    /// Date and time of UTC.
    Utc,
    /// ISO 8601, in UTC.
    Iso,
    /// Seconds since 1970.
    Unix,
    /// A format of strftime(3), for the time of this host.
    Format(String),
}

impl Times {
    /// The format that an option names.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "relative" => Self::Relative,
            "local" => Self::Local,
            "utc" => Self::Utc,
            "iso" => Self::Iso,
            "unix" => Self::Unix,
            format if format.contains('%') => {
                let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
                strtime::format(format, &sample).map_err(|error| error.to_string())?;
                Self::Format(format.to_owned())
            }
            _ => {
                return Err(
                    "expected relative, local, utc, iso, unix, or a format such as %H:%M:%S".into(),
                );
            }
        })
    }

    /// A Unix time. The suffix follows a relative one.
    pub(crate) fn since(&self, time: u64, suffix: &str) -> String {
        let (format, zone) = match self {
            Self::Relative => return format!("{}{suffix}", units::age(time)),
            Self::Unix => return time.to_string(),
            Self::Local => ("%Y-%m-%d %H:%M:%S", TimeZone::system()),
            Self::Utc => ("%Y-%m-%d %H:%M:%SZ", TimeZone::UTC),
            Self::Iso => ("%Y-%m-%dT%H:%M:%SZ", TimeZone::UTC),
            Self::Format(format) => (format.as_str(), TimeZone::system()),
        };
        written(time, format, zone).unwrap_or_else(|| time.to_string())
    }

    /// The time of day of a Unix time, in UTC as in the log.
    pub(crate) fn of_day(time: u64) -> String {
        written(time, "%H:%M:%SZ", TimeZone::UTC).unwrap_or_else(|| time.to_string())
    }
}

/// `None` for a time beyond the year 9999.
fn written(time: u64, format: &str, zone: TimeZone) -> Option<String> {
    let time = Timestamp::from_second(i64::try_from(time).ok()?).ok()?;
    strtime::format(format, &time.to_zoned(zone)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        let cases = [
            ("utc", "2023-11-14 22:13:20Z"),
            ("iso", "2023-11-14T22:13:20Z"),
            ("unix", "1700000000"),
        ];
        for (name, shown) in cases {
            let format = Times::parse(name).unwrap();
            assert_eq!(format.since(1_700_000_000, " ago"), shown);
        }
        let now = units::now();
        assert_eq!(Times::Relative.since(now, " ago"), "0 s ago");
        assert_eq!(Times::Iso.since(u64::MAX, ""), u64::MAX.to_string());
    }

    #[test]
    fn other_formats_are_those_of_strftime() {
        assert_eq!(Times::parse("%H:%M"), Ok(Times::Format("%H:%M".to_owned())));
        assert!(Times::parse("%").is_err());
        assert!(Times::parse("yesterday").is_err());
    }

    #[test]
    fn times_of_day_are_those_of_utc() {
        assert_eq!(Times::of_day(1_700_000_000), "22:13:20Z");
        assert_eq!(Times::of_day(0), "00:00:00Z");
    }
}
