//! The dashboard from outside: requests in, answers out, on the memory backends.

mod access;
mod again;
mod audit;
mod charts;
mod doors;
mod escaping;
mod forms;
mod goldens;
mod jobs;
mod lists;
mod log;
mod login;
mod pages;
mod registered;
mod results;
mod schedules;
mod secrets;
mod site;
mod streams;
mod sure;
mod workers;
