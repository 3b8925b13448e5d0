//! Numbers in words that people read at a glance.

use std::time::Duration;

/// A duration of `nanos` nanoseconds in its two largest units.
#[must_use]
pub fn age(nanos: u64) -> String {
    let seconds = Duration::from_nanos(nanos).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// The same in its largest unit alone, for narrow columns.
#[must_use]
pub fn short_age(nanos: u64) -> String {
    let seconds = Duration::from_nanos(nanos).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A number of bytes, decimal as on network interfaces.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// `nanos` nanoseconds as milliseconds; below one with a digit more.
#[must_use]
pub fn milliseconds(nanos: u64) -> String {
    let digits = if nanos < 1_000_000 { 2 } else { 1 };
    format!("{:.digits$} ms", nanos as f64 / 1e6)
}

/// Bytes per second in bits per second; `0` where nothing moves, `-` where it is not known.
#[must_use]
pub fn bit_rate(bytes_per_second: Option<f64>) -> String {
    match bytes_per_second.map(|bytes| bytes * 8.0) {
        None => "-".to_owned(),
        Some(bits) if bits < 0.5 => "0".to_owned(),
        Some(bits) => scaled(bits, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]),
    }
}

/// How often in a second something happens.
#[must_use]
pub fn frequency(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(count) if count < 0.05 => "0".to_owned(),
        Some(count) if count < 9.95 => format!("{count:.1}/s"),
        Some(count) => scaled(count, ["/s", "k/s", "M/s", "G/s"]).replace(' ', ""),
    }
}

/// Three digits and the unit that fits them.
fn scaled(value: f64, units: [&str; 4]) -> String {
    let [plain, units @ ..] = units;
    if value < 999.5 {
        return format!("{value:.0} {plain}");
    }
    let mut value = value;
    let mut fitting = plain;
    for unit in units {
        (value, fitting) = (value / 1e3, unit);
        if value < 999.5 {
            break;
        }
    }
    let digits = match value {
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {fitting}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        let seconds = [0, 59, 60, 3_599, 3_600, 86_400, 90_000].map(|s| s * 1_000_000_000);
        let expected =
            ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "1 d 0 h", "1 d 1 h"];
        assert_eq!(seconds.map(age), expected);
        let expected = ["0 s", "59 s", "1 min", "59 min", "1 h", "1 d", "1 d"];
        assert_eq!(seconds.map(short_age), expected);
        let sizes = [0, 999, 1_000, 1_500_000, 2_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.5 MB", "2.0 GB"]);
        assert_eq!([12_345_678, 140_000].map(milliseconds), ["12.3 ms", "0.14 ms"]);
    }

    #[test]
    fn rates_have_three_digits_and_never_four() {
        let rates = [0.0, 1.0, 124.9, 125.0, 124_937.4, 124_937.6, 1.2e6, 1.25e7, 1.25e9, 1.25e14];
        let expected = [
            "0",
            "8 bit/s",
            "999 bit/s",
            "1.00 kbit/s",
            "999 kbit/s",
            "1.00 Mbit/s",
            "9.60 Mbit/s",
            "100 Mbit/s",
            "10.0 Gbit/s",
            "1000000 Gbit/s",
        ];
        assert_eq!(rates.map(|rate| bit_rate(Some(rate))), expected);
        assert_eq!(bit_rate(None), "-");
        let counts = [0.0, 0.5, 9.94, 12.4, 999.4, 81_234.0, 2.5e6];
        let expected = ["0", "0.5/s", "9.9/s", "12/s", "999/s", "81.2k/s", "2.50M/s"];
        assert_eq!(counts.map(|count| frequency(Some(count))), expected);
        assert_eq!(frequency(None), "-");
    }
}
