//! What lives at each slice of time, and how many of each slice's births survive → whether it grows, and how.
//!
//! Only ranks and medians decide, so that one odd slice does not: the trend is Mann and Kendall's test, the slope is
//! Theil's and Sen's with Sen's interval (Sen 1968, JASA 63, section 3). `EdLeak`'s leak factor and libmemleak's value are
//! beside them for those who know them; both take noise for growth.

/// How what is alive develops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Growth {
    /// It stays, or it jumped once.
    Constant,
    /// It grew, and does no longer.
    Plateau,
    /// It grows ever slower: a cache that fills.
    Log,
    /// It grows by the same amount in the same time.
    Linear,
    /// It grows ever faster.
    Exponential,
    /// It grows, but how is not to be told.
    Undecided,
    /// Too few are alive to say anything.
    TooFew,
}

impl Growth {
    /// The class as a keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Plateau => "plateau",
            Self::Log => "log",
            Self::Linear => "linear",
            Self::Exponential => "exponential",
            Self::Undecided => "undecided",
            Self::TooFew => "too-few-samples",
        }
    }

    /// Whether memory will run out if it goes on.
    pub fn is_leak(self) -> bool {
        matches!(self, Self::Linear | Self::Exponential)
    }
}

/// What was seen of one group of allocations (those of one stack).
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Bytes alive at the end of each slice, the oldest first.
    pub live: &'a [f64],
    /// Allocations of each slice that is old enough to judge by.
    pub births: &'a [u64],
    /// Those of them that are alive at the end; as many slices.
    pub survivors: &'a [u64],
}

/// What the series says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict {
    /// The class.
    pub growth: Growth,
    /// Theil and Sen's slope, in bytes a slice.
    pub slope: f64,
    /// The 95 % interval of the slope.
    pub interval: (f64, f64),
    /// Mann and Kendall's statistic, in standard deviations: above 3 it rises.
    pub trend: f64,
    /// Allocations that are alive at the end.
    pub survivors: u64,
    /// `EdLeak`'s leak factor: bytes that its fitted parabola rises by.
    pub leak_factor: f64,
    /// `EdLeak`'s curvature: below -0.2 log, above 0.2 exponential.
    pub curvature: f64,
    /// libmemleak's value: survivors, weighted by the age of their interval.
    pub value: f64,
}

/// Fewer survivors than this say nothing: their relative error is 1/sqrt(n), 18 % at this number (measured: `EdLeak`'s and
/// this test's classes fall apart below).
const LEAST_SURVIVORS: u64 = 30;
/// Slices that a trend needs: Mann and Kendall's statistic is normal from about ten on.
const LEAST_SLICES: usize = 10;
/// Standard deviations of a trend: one false alarm in 740 series of noise, before `LEAST_GROWTH` is asked.
const TREND: f64 = 3.0;
/// The same for the last half, whose absence is what a plateau needs.
const LATE_TREND: f64 = 2.0;
/// Growth below this part of the level, or below so many times the noise, is none.
const LEAST_GROWTH: f64 = 0.05;
const NOISE: f64 = 3.0;
/// One slice's part of all growth that makes it a step.
const STEP: f64 = 0.7;
/// Slope of the last third over that of the first: what is slower is a cache, what is faster is exponential.
const SLOWER: f64 = 0.5;
const FASTER: f64 = 2.0;
/// Part of an old cohort that survives, against a young one: less is a pool, which only looks as if it grew.
const OLD_DIE: f64 = 0.5;
/// 97.5 % quantile of the normal distribution.
const QUANTILE: f64 = 1.96;

/// The verdict on a series, whose slices all have the same length.
pub fn verdict(series: Series<'_>) -> Verdict {
    let (slope, interval) = theil_sen(series.live);
    let (curvature, leak_factor) = edleak(series.live);
    let survivors = series.survivors.iter().sum();
    Verdict {
        growth: growth(series, slope, interval, survivors),
        slope,
        interval,
        trend: mann_kendall(series.live),
        survivors,
        leak_factor,
        curvature,
        value: libmemleak(series.survivors),
    }
}

fn growth(series: Series<'_>, slope: f64, interval: (f64, f64), survivors: u64) -> Growth {
    let live = series.live;
    if survivors < LEAST_SURVIVORS {
        return Growth::TooFew;
    }
    if live.len() < LEAST_SLICES {
        return Growth::Undecided;
    }
    if mann_kendall(live) < TREND || !is_growth(live, slope) || is_step(live) {
        return Growth::Constant;
    }
    let half = &live[live.len() / 2..];
    if mann_kendall(half) < LATE_TREND {
        return Growth::Plateau;
    }
    let third = live.len() / 3;
    let (early, _) = theil_sen(&live[..third]);
    let (late, _) = theil_sen(&live[live.len() - third..]);
    // Births that survive tell a cache before its curve does; deaths of the old ones tell a pool.
    let (young, old) = cohorts(series);
    if late <= early * SLOWER || young <= old * SLOWER {
        return Growth::Log;
    }
    if dies_with_age(series) {
        return Growth::Undecided;
    }
    if early <= 0.0 || late >= early * FASTER {
        return Growth::Exponential;
    }
    if interval.0 > 0.0 { Growth::Linear } else { Growth::Undecided }
}

/// Whether the slope makes more of a difference than noise does, and any at all beside the level.
fn is_growth(live: &[f64], slope: f64) -> bool {
    let grown = slope * (live.len() - 1) as f64;
    let level = median(&mut live.to_vec());
    let mut residuals: Vec<f64> = live.iter().enumerate().map(|(at, y)| y - slope * at as f64).collect();
    let middle = median(&mut residuals.clone());
    for residual in &mut residuals {
        *residual = (*residual - middle).abs();
    }
    grown > LEAST_GROWTH * level && grown > NOISE * median(&mut residuals)
}

/// Whether one slice makes most of all growth: memory that was taken once.
fn is_step(live: &[f64]) -> bool {
    let all = live[live.len() - 1] - live[0];
    let largest = live.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    largest > STEP * all
}

/// Survivors a slice of the younger and of the older half.
fn cohorts(series: Series<'_>) -> (f64, f64) {
    let (old, young) = series.survivors.split_at(series.survivors.len() / 2);
    let mean = |half: &[u64]| half.iter().sum::<u64>() as f64 / half.len().max(1) as f64;
    (mean(young), mean(old))
}

/// Whether of the older half's births a smaller part survives than of the younger half's.
fn dies_with_age(series: Series<'_>) -> bool {
    let rate = |from: usize, to: usize| {
        let born: u64 = series.births[from..to].iter().sum();
        let alive: u64 = series.survivors[from..to].iter().sum();
        if born == 0 { 1.0 } else { alive as f64 / born as f64 }
    };
    let half = series.births.len() / 2;
    rate(0, half) < OLD_DIE * rate(half, series.births.len())
}

/// The median of the slopes of all pairs, and Sen's 95 % interval for it. Nothing for fewer than two values.
pub fn theil_sen(values: &[f64]) -> (f64, (f64, f64)) {
    let mut slopes = Vec::with_capacity(values.len() * values.len().saturating_sub(1) / 2);
    for (later, y) in values.iter().enumerate() {
        slopes.extend(values[..later].iter().enumerate().map(|(at, x)| (y - x) / (later - at) as f64));
    }
    if slopes.is_empty() {
        return (0.0, (0.0, 0.0));
    }
    slopes.sort_by(f64::total_cmp);
    let reach = QUANTILE * variance(values).sqrt();
    let count = slopes.len() as f64;
    let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(slopes.len() - 1)];
    let interval = (at(((count - reach) / 2.0).floor()), at(f64::midpoint(count, reach).ceil()));
    (middle_of(&slopes), interval)
}

/// Mann and Kendall's statistic in standard deviations, with the correction for ties and for continuity; 0 without a trend.
pub fn mann_kendall(values: &[f64]) -> f64 {
    let mut sum = 0i64;
    for (later, y) in values.iter().enumerate() {
        sum += values[..later].iter().map(|x| i64::from(y > x) - i64::from(y < x)).sum::<i64>();
    }
    let variance = variance(values);
    if sum == 0 || variance <= 0.0 { 0.0 } else { (sum - sum.signum()) as f64 / variance.sqrt() }
}

/// Of Kendall's sum, when there is no trend: n(n-1)(2n+5)/18, less the same for each group of equal values.
fn variance(values: &[f64]) -> f64 {
    let of = |n: usize| {
        let n = n as f64;
        n * (n - 1.0) * (2.0 * n + 5.0) / 18.0
    };
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    of(values.len()) - sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|ties| of(ties.len())).sum::<f64>()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    middle_of(values)
}

/// Of sorted values; 0 for none.
fn middle_of(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Curvature and leak factor of `EdLeak` (edkit-agent 29379e5): a parabola through the values, both axes scaled to 0..1.
fn edleak(values: &[f64]) -> (f64, f64) {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(*y), high.max(*y)));
    if values.len() < 3 || high <= low {
        return (0.0, 0.0);
    }
    let last = (values.len() - 1) as f64;
    // Sums of x^0..x^4 and of y, xy, xxy: the normal equations of least squares.
    let (mut powers, mut products) = ([0.0; 5], [0.0; 3]);
    for (at, y) in values.iter().enumerate() {
        let (x, y) = (at as f64 / last, (y - low) / (high - low));
        powers.iter_mut().enumerate().for_each(|(power, sum)| *sum += x.powi(power as i32));
        products.iter_mut().enumerate().for_each(|(power, sum)| *sum += y * x.powi(power as i32));
    }
    let determinant = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let rows = [0, 1, 2].map(|row| [powers[row], powers[row + 1], powers[row + 2]]);
    let whole = determinant(rows);
    // Cramer's rule: column after column replaced by the products.
    let solve = |column: usize| {
        let mut replaced = rows;
        (0..3).for_each(|row| replaced[row][column] = products[row]);
        determinant(replaced) / whole
    };
    let (linear, square) = (solve(1), solve(2));
    (square, (linear + square) * (high - low))
}

/// libmemleak's `value_n`, with slices of one length: each interval twice as long as the next younger one counts twice.
fn libmemleak(survivors: &[u64]) -> f64 {
    let mut value = 0.0;
    let (mut weight, mut length, mut left) = (1.0, 1usize, 1usize);
    for count in survivors.iter().rev() {
        value += *count as f64 * weight;
        left -= 1;
        if left == 0 {
            length *= 2;
            left = length;
            weight *= 2.0;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICES: usize = 60;

    /// Numbers that look like chance, the same in each run: splitmix64, and twelve of them for a normal one.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.next()).sum::<f64>() - 6.0
        }
    }

    /// The class of a curve whose births all survive as the curve rises.
    fn class_of(live: &[f64]) -> Growth {
        let births: Vec<u64> = live.iter().map(|_| 100).collect();
        verdict(Series { live, births: &births, survivors: &births }).growth
    }

    fn curve(f: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..SLICES).map(|at| f(at as f64)).collect()
    }

    #[test]
    fn a_constant_with_noise_is_never_a_leak() {
        for seed in 0..200 {
            let mut chance = Chance(seed);
            let live: Vec<f64> = (0..SLICES).map(|_| 1_048_576.0 * (1.0 + 0.01 * chance.normal())).collect();
            assert_eq!(class_of(&live), Growth::Constant, "seed {seed}");
        }
    }

    #[test]
    fn a_line_is_seen_through_noise_of_five_times_its_slope() {
        let mut right = 0;
        for seed in 0..200 {
            let mut chance = Chance(1_000 + seed);
            let live = (0..SLICES).map(|at| 10_000.0 + 1_000.0 * at as f64 + 5_000.0 * chance.normal());
            right += usize::from(class_of(&live.collect::<Vec<_>>()) == Growth::Linear);
        }
        // Noise this strong bends a third now and then.
        assert!(right >= 190, "{right} of 200");
    }

    #[test]
    fn each_shape_has_its_class() {
        assert_eq!(class_of(&curve(|at| 1_000.0 * at)), Growth::Linear);
        assert_eq!(class_of(&curve(|at| 4_096.0 * (at / 6.0).exp2())), Growth::Exponential);
        assert_eq!(class_of(&curve(|at| 1e6 * (1.0 - (-at / 20.0).exp()))), Growth::Log);
        assert_eq!(class_of(&curve(|at| 50_000.0 * at.min(25.0))), Growth::Plateau);
        assert_eq!(class_of(&curve(|_| 77.0)), Growth::Constant);
        for step in [3.0, 30.0, 56.0] {
            assert_eq!(class_of(&curve(|at| if at < step { 1e5 } else { 9e5 })), Growth::Constant, "step at {step}");
        }
        assert_eq!(class_of(&curve(|at| 1e5 + 1e4 * (at % 10.0))), Growth::Constant, "a buffer that is flushed");
    }

    #[test]
    fn survivors_tell_a_cache_and_a_pool_from_a_leak() {
        let live = curve(|at| 1_000.0 * at);
        let births = [100u64; SLICES];
        let class = |survivors: &[u64]| verdict(Series { live: &live, births: &births, survivors }).growth;
        assert_eq!(class(&births), Growth::Linear);
        let falling: Vec<u64> = (0..SLICES as u64).map(|at| if at < 30 { 100 } else { 20 }).collect();
        assert_eq!(class(&falling), Growth::Log);
        let young: Vec<u64> = (0..SLICES as u64).map(|at| if at < 30 { 5 } else { 100 }).collect();
        assert_eq!(class(&young), Growth::Undecided);
    }

    #[test]
    fn few_survivors_or_slices_are_not_judged() {
        let live = curve(|at| 1_000.0 * at);
        let mut survivors = [0u64; SLICES];
        survivors[..29].fill(1);
        assert_eq!(verdict(Series { live: &live, births: &survivors, survivors: &survivors }).growth, Growth::TooFew);
        assert_eq!(class_of(&live[..9]), Growth::Undecided);
        assert_eq!(verdict(Series { live: &[], births: &[], survivors: &[] }).growth, Growth::TooFew);
    }

    #[test]
    fn the_slope_and_its_interval_hold_against_outliers() {
        let mut live = curve(|at| 3.0 * at + 7.0);
        live[20] = 1e9;
        live[40] = -1e9;
        let (slope, (low, high)) = theil_sen(&live);
        assert!((slope - 3.0).abs() < 1e-9 && low <= 3.0 && 3.0 <= high, "{slope} {low} {high}");
        assert_eq!(theil_sen(&[5.0]), (0.0, (0.0, 0.0)));
    }

    #[test]
    fn the_trend_is_that_of_the_book() {
        // n = 4, all pairs rise: S = 6, variance 4*3*13/18, (6 - 1)/sqrt.
        assert!((mann_kendall(&[1.0, 2.0, 3.0, 4.0]) - 5.0 / (156.0f64 / 18.0).sqrt()).abs() < 1e-12);
        // A tie of two takes 2*1*9/18 away.
        assert!((mann_kendall(&[1.0, 2.0, 2.0, 4.0]) - 4.0 / (156.0f64 / 18.0 - 1.0).sqrt()).abs() < 1e-12);
        assert!(mann_kendall(&[3.0; 9]).abs() < 1e-12);
    }

    #[test]
    fn the_columns_of_others_are_theirs() {
        let (curvature, factor) = edleak(&curve(|at| at * at));
        assert!((curvature - 1.0).abs() < 1e-9 && (factor - 59.0 * 59.0).abs() < 1e-6, "{curvature} {factor}");
        let (curvature, factor) = edleak(&curve(|at| 10.0 * at));
        assert!(curvature.abs() < 1e-9 && (factor - 590.0).abs() < 1e-6);
        // Intervals of 1, 2 and 4 slices, the youngest last.
        assert!((libmemleak(&[1, 1, 1, 1, 1, 1, 1]) - (4.0 * 4.0 + 2.0 * 2.0 + 1.0)).abs() < 1e-12);
    }
}
