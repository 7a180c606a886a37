//! What a web server depends on to send Lovage tasks and read their results.
