//! One line of the table: a figure of each contender, and what Firth's must reach.

use std::fmt::Write;

use super::{Contender, Sample, Workload};
use crate::{
    report::Report,
    table::{Target, median, shown},
};

/// Firth that keeps what it acknowledged is held against the other as it comes.
const CHALLENGER: Contender = Contender::FirthDisk;

#[derive(Debug, Clone)]
pub(super) struct Figure {
    workload: String,
    name: &'static str,
    samples: Vec<(Contender, Vec<f64>)>,
    target: Target,
}

/// Puts the samples of one round to those of the rounds before.
pub(super) fn gather(
    figures: &mut Vec<Figure>,
    workload: &Workload,
    contender: Contender,
    samples: Vec<Sample>,
) {
    for sample in samples {
        match figures.iter_mut().find(|figure| figure.name == sample.name) {
            Some(figure) => figure.add(contender, sample.value),
            None => figures.push(Figure {
                workload: workload.name.clone(),
                name: sample.name,
                samples: vec![(contender, vec![sample.value])],
                target: sample.target,
            }),
        }
    }
}

impl Figure {
    fn add(&mut self, contender: Contender, value: f64) {
        match self.samples.iter_mut().find(|(of, _)| *of == contender) {
            Some((_, values)) => values.push(value),
            None => self.samples.push((contender, vec![value])),
        }
    }

    fn of(&self, contender: Contender) -> &[f64] {
        let samples = self.samples.iter().find(|(of, _)| *of == contender);
        samples.map_or(&[], |(_, values)| values)
    }

    pub(super) fn row(&self, contenders: &[Contender], base: Contender) -> String {
        let mut row = format!("| {} | {} |", self.workload, self.name);
        for contender in contenders {
            // Writing to a string cannot fail.
            let _ = write!(row, " {} |", shown(self.of(*contender)));
        }
        let title = base.title();
        let (challenger, base) = (median(self.of(CHALLENGER)), median(self.of(base)));
        let ratio = match (challenger, base) {
            (Some(challenger), Some(base)) if base > 0.0 => format!("{:.2}", challenger / base),
            _ => String::new(),
        };
        let verdict = challenger.map_or("", |challenger| self.target.verdict(base, challenger));
        let _ = write!(row, " {ratio} | {} | {verdict} |", self.target.text(title));
        row
    }

    pub(super) fn report(&self, report: &mut Report) {
        for (contender, samples) in &self.samples {
            if let Some(median) = median(samples) {
                let name = format!("{}/{}/{}", self.workload, self.name, contender.title());
                report.figure(&name, median);
            }
        }
    }
}

pub(super) fn markdown(figures: &[Figure], contenders: &[Contender], base: Contender) -> String {
    let mut table = String::from("| workload | figure |");
    for contender in contenders {
        let _ = write!(table, " {} |", contender.title());
    }
    let _ = writeln!(
        table,
        " {} : {} | must reach | |",
        CHALLENGER.title(),
        base.title()
    );
    let _ = writeln!(
        table,
        "|---|---|{}---:|---|---|",
        "---:|".repeat(contenders.len())
    );
    for figure in figures {
        let _ = writeln!(table, "{}", figure.row(contenders, base));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::Opponent;

    #[test]
    fn each_contender_has_a_column_and_two_of_them_the_verdict() {
        let workload = super::super::workload::chosen(&Opponent::kafka(), &["footprint".to_owned()])
            .unwrap()
            .remove(0);
        let mut figures = Vec::new();
        for (contender, value) in [
            (Contender::FirthDisk, 900.0),
            (Contender::Kafka, 500.0),
            (Contender::FirthDisk, 1000.0),
            (Contender::FirthDisk, 800.0),
        ] {
            let sample = Sample {
                name: "msg/s",
                value,
                target: Target::RatioAtLeast(1.5),
            };
            gather(&mut figures, &workload, contender, vec![sample]);
        }
        assert_eq!(
            markdown(&figures, &Contender::BESIDE_KAFKA, Contender::Kafka),
            "| workload | figure | Firth disk | Firth os | Kafka | Kafka flushed | Firth disk : Kafka | must reach | |\n\
             |---|---|---:|---:|---:|---:|---:|---|---|\n\
             | footprint | msg/s | 900 (800–1,000) | – | 500 | – | 1.80 | ≥ 1.5 × Kafka | reached |\n"
        );
    }
}
