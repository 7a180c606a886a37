-- Claims on unique keys that end at the start, holders that were replaced, and suspects only from the second lost lease on.

ALTER TABLE lovage_task ADD COLUMN until_start INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lovage_task ADD COLUMN replaced_by BLOB;

DROP INDEX lovage_task_ready;
DROP INDEX lovage_task_suspect;
CREATE INDEX lovage_task_ready ON lovage_task (queue, priority DESC, position) WHERE place = 0 AND losses < 2;
CREATE INDEX lovage_task_suspect ON lovage_task (queue, priority DESC, position) WHERE place = 0 AND losses >= 2;
