//! The lovage command: App, and the stock binary.
