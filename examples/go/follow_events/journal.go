package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
)

// handled is what this program does with an event: it writes it down.
type handled struct {
	EventID       string `json:"event_id"`
	Sequence      int64  `json:"sequence"`
	TransactionID string `json:"transaction_id"`
}

// entry is one line of the journal. Cursor and effect stand in the same line, so that
// both are on the disk or neither is. In a database they share a transaction.
type entry struct {
	Cursor []byte    `json:"cursor"`
	Events []handled `json:"events"`
}

// journal is a file that only grows, one line for each response of the stream.
type journal struct {
	file   *os.File
	cursor []byte
	known  map[string]bool
}

// openJournal reads what is there. A line cut short by a crash is dropped: its cursor
// was not kept either, so its events come again.
func openJournal(path string) (*journal, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	found := &journal{known: map[string]bool{}}
	for _, line := range bytes.SplitAfter(text[:whole], []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var of entry
		if err := json.Unmarshal(line, &of); err != nil {
			return nil, err
		}
		found.note(of)
	}
	found.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := found.file.Truncate(int64(whole)); err != nil {
		return nil, err
	}
	_, err = found.file.Seek(0, 2)
	return found, err
}

func (of *journal) note(what entry) {
	of.cursor = what.Cursor
	for _, event := range what.Events {
		of.known[event.EventID] = true
	}
}

// keep puts the effect of a response on the disk, together with its cursor.
func (of *journal) keep(what entry) error {
	line, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if _, err := of.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := of.file.Sync(); err != nil {
		return err
	}
	of.note(what)
	return nil
}
