//! Task, message and state types of Lovage, and the traits that backends implement.
