//! The tally of a run, and the table that it ends with

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::fault::Fault;
use super::plan::Plan;
use super::round::{Ending, Outcome};

/// What the rounds with one fault came to.
#[derive(Debug, Default)]
struct Row {
    rounds: u64,
    complete: u64,
    success_on_failed_data: u64,
    refused: u64,
    broken: u64,
    left: u64,
    short: u64,
    leaks: u64,
    faults: u64,
    slowest: Duration,
}

/// What all rounds came to.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<Fault, Row>,
    bytes: u64,
    /// What was left when all was over.
    leaks_at_the_end: u64,
}

impl Table {
    pub(super) fn add(&mut self, plan: &Plan, outcome: &Outcome) {
        self.bytes += plan.transfer.size as u64;
        let row = self.rows.entry(plan.fault).or_default();
        row.rounds += 1;
        *match outcome.ending {
            Ending::Complete => &mut row.complete,
            Ending::SuccessOnFailedData => &mut row.success_on_failed_data,
            Ending::Refused => &mut row.refused,
            Ending::Broken => &mut row.broken,
            Ending::Left => &mut row.left,
        } += 1;
        row.short += u64::from(outcome.short.is_some());
        row.leaks += u64::from(!outcome.leaks.is_empty());
        row.faults += u64::from(!outcome.faults.is_empty());
        row.slowest = row.slowest.max(outcome.transfer_took);
    }

    /// Counts what is left when all is over.
    pub(super) fn add_left(&mut self, left: &[String]) {
        self.leaks_at_the_end += left.len() as u64;
    }

    /// Rounds, short transfers, leaks and other faults.
    pub(super) fn totals(&self) -> [u64; 4] {
        let all = self.total();
        [
            all.rounds,
            all.short,
            all.leaks + self.leaks_at_the_end,
            all.faults,
        ]
    }

    /// Bytes of all files, moved or meant to be.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn total(&self) -> Row {
        self.rows.values().fold(Row::default(), |sum, row| Row {
            rounds: sum.rounds + row.rounds,
            complete: sum.complete + row.complete,
            success_on_failed_data: sum.success_on_failed_data + row.success_on_failed_data,
            refused: sum.refused + row.refused,
            broken: sum.broken + row.broken,
            left: sum.left + row.left,
            short: sum.short + row.short,
            leaks: sum.leaks + row.leaks,
            faults: sum.faults + row.faults,
            slowest: sum.slowest.max(row.slowest),
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | rounds | complete | 4xx or 5xx | broke off | client left | 2xx, data failed | short | leaks | other faults | slowest |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        let rows = self
            .rows
            .iter()
            .map(|(fault, row)| (fault.to_string(), row));
        let total = self.total();
        for (name, row) in rows.chain([("**all**".to_owned(), &total)]) {
            let Row {
                rounds,
                complete,
                success_on_failed_data,
                refused,
                broken,
                left,
                short,
                leaks,
                faults,
                slowest,
            } = row;
            let slowest = slowest.as_secs_f64();
            writeln!(
                f,
                "| {name} | {rounds} | {complete} | {refused} | {broken} | {left} | {success_on_failed_data} | {short} | {leaks} | {faults} | {slowest:.1} s |"
            )?;
        }
        Ok(())
    }
}
