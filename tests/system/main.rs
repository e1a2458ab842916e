//! The built binaries against real servers: one module a capability or a promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod access;
mod adding;
mod api;
mod backups;
mod browse;
mod browser;
mod cap;
mod clocks;
mod crashes;
mod devices;
mod disks;
mod doctor;
mod driver;
mod events;
mod handed_in;
mod hanging;
mod imports;
mod init;
mod install;
mod kills;
mod kinds;
mod lab;
mod leaks;
mod linux;
mod load;
mod log;
mod machine;
mod mail;
mod manual;
mod monitoring;
mod notify;
mod otp;
mod page;
mod person;
mod programs;
mod reaching;
mod recorded;
mod recovery;
mod scribe;
mod scripted;
mod sections;
mod services;
mod shown;
mod site;
mod starting;
mod templates;
mod tmux;
mod told;
mod unit;
mod web_apps;
mod web_axe;
mod web_guard;
mod web_page;
mod web_pages;
mod whole;
