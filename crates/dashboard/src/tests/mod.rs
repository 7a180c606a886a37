//! The dashboard from outside: requests in, answers out, on the memory backends.

mod access;
mod audit;
mod charts;
mod escaping;
mod goldens;
mod jobs;
mod login;
mod pages;
mod results;
mod site;
mod streams;
mod workers;
