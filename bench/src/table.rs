//! What the tables of figures have in common: medians, numbers for people, and what must be reached.

/// What the figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    None,
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Above the base.
    ExcessAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// `base` is what figures are compared with.
    pub(crate) fn text(self, base: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::RatioAtLeast(bound) => format!("≥ {bound} × {base}"),
            Self::RatioAtMost(bound) => format!("≤ {bound} × {base}"),
            Self::ExcessAtMost(bound) => format!("≤ {base} + {bound}"),
            Self::AtLeast(bound) => format!("≥ {}", number(bound)),
            Self::AtMost(bound) => format!("≤ {}", number(bound)),
        }
    }

    pub(crate) fn verdict(self, base: Option<f64>, figure: f64) -> &'static str {
        let met = match (self, base) {
            (Self::AtLeast(bound), _) => figure >= bound,
            (Self::AtMost(bound), _) => figure <= bound,
            (Self::RatioAtLeast(bound), Some(base)) => figure >= bound * base,
            (Self::RatioAtMost(bound), Some(base)) => figure <= bound * base,
            (Self::ExcessAtMost(bound), Some(base)) => figure <= base + bound,
            (Self::None, _) | (_, None) => return "",
        };
        if met { "reached" } else { "missed" }
    }
}

/// The median, with the range behind it if there were several rounds.
pub(crate) fn shown(samples: &[f64]) -> String {
    let Some(median) = median(samples) else {
        return "–".to_owned();
    };
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if samples.len() == 1 {
        return number(median);
    }
    format!("{} ({}–{})", number(median), number(low), number(high))
}

pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Three significant digits and more, with commas between thousands.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
