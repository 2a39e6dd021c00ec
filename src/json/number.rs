//! Comparing numbers that are text, without a float between.

/// Whether two JSON numbers are the same, however they are written.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || parts(a) == parts(b)
}

/// Whether it is negative, its digits without zeros at the ends, and the power of ten of the digit
/// behind them; of a number with an exponent beyond counting, the text.
#[derive(PartialEq)]
enum Parts<'a> {
    Zero,
    Number { negative: bool, digits: String, power: i64 },
    Uncounted(&'a str),
}

fn parts(text: &str) -> Parts<'_> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return Parts::Zero;
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let counted = exponent.parse::<i64>().ok().zip(i64::try_from(zeros).ok());
    let power = counted.zip(i64::try_from(fraction.len()).ok()).and_then(
        |((exponent, zeros), fraction)| exponent.checked_add(zeros)?.checked_sub(fraction),
    );
    match power {
        Some(power) => Parts::Number { negative, digits: digits.to_owned(), power },
        None => Parts::Uncounted(text),
    }
}
