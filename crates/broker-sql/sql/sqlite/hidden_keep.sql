-- Keeps what a task hides.
INSERT INTO lovage_hidden (task, marks) VALUES (?1, ?2)
