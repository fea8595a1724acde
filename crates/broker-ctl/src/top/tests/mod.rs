//! The screen as a whole: what it shows of recorded events, and what the keys do.

mod picture;
mod sample;
mod screens;
mod steps;
