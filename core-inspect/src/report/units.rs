//! Numbers as people read them: `20,000`, `6.1 MiB`, `84 %`.

/// A count with thousands separators.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 chunk`, `2 chunks`.
pub fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
}

/// Bytes in the unit that leaves one to four digits before the point.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as `1024.0`.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// The share of `part` in `whole`: `84 %`, `0.3 %`, `<0.1 %`; empty when there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let share = part as f64 * 100.0 / whole as f64;
    match share {
        _ if part == 0 => "0 %".to_owned(),
        s if s < 0.1 => "<0.1 %".to_owned(),
        s if s < 9.95 => format!("{s:.1} %"),
        // Nothing but the whole is 100 %.
        s if part < whole && s > 99.0 => format!("{:.1} %", s.min(99.9)),
        s => format!("{s:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(2_494_464), "2,494,464");
        assert_eq!(counted(1, "chunk"), "1 chunk");
        assert_eq!(counted(20_000, "element"), "20,000 elements");
    }

    #[test]
    fn bytes_never_show_a_thousand_of_a_unit() {
        assert_eq!(bytes(212), "212 B");
        assert_eq!(bytes(6_396_313), "6.1 MiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent() {
        assert_eq!(percent(840, 1000), "84 %");
        assert_eq!(percent(9_999, 10_000), "99.9 %");
        assert_eq!(percent(1, 100_000), "<0.1 %");
        assert_eq!(percent(5, 5), "100 %");
        assert_eq!(percent(5, 0), "");
    }
}
