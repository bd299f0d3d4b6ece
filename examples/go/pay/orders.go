package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// order is what is paid, to whom, and under which id.
type order struct {
	Name      string `json:"name"`
	Wallet    string `json:"wallet"`
	Amount    string `json:"amount"`
	PaymentID string `json:"payment_id"`
}

// takeOrder returns the order of that name as it was stored before, or a new one with an id.
//
// Orders are files in a folder that processes may share; a database does the same with a
// unique index. A file appears whole or not at all, and only once, because it is written
// elsewhere first and then linked. QIWI wants ids that differ and increase: an id is at
// least 1000 × Unix seconds, and greater than all that were claimed before. One folder
// belongs to one wallet, and all who pay from the wallet use that folder.
func takeOrder(folder, name, wallet, amount string) (order, error) {
	file := filepath.Join(folder, "order-"+url.QueryEscape(name)+".json")
	found, err := readOrder(file)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return order{}, err
		}
		id, err := claimID(folder)
		if err != nil {
			return order{}, err
		}
		if err := keep(file, order{name, wallet, amount, id}); err != nil {
			return order{}, err
		}
		// Another process may have been quicker; then its id counts and ours stays unused.
		found, err = readOrder(file)
		if err != nil {
			return order{}, err
		}
	} else if err != nil {
		return order{}, err
	}
	if found.Wallet != wallet || found.Amount != amount {
		return order{}, fmt.Errorf("%s was %s RUB to %s before; that stays", name, found.Amount, found.Wallet)
	}
	return found, nil
}

func readOrder(file string) (order, error) {
	var found order
	text, err := os.ReadFile(file)
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(text, &found)
}

// claimID takes the next id: an empty file that can be made only once stands for it.
func claimID(folder string) (string, error) {
	taken, err := filepath.Glob(filepath.Join(folder, "id-*"))
	if err != nil {
		return "", err
	}
	next := 1000 * time.Now().Unix()
	for _, path := range taken {
		id, err := strconv.ParseInt(filepath.Base(path)[len("id-"):], 10, 64)
		if err == nil && id >= next {
			next = id + 1
		}
	}
	for ; ; next++ {
		id := strconv.FormatInt(next, 10)
		claim, err := os.OpenFile(filepath.Join(folder, "id-"+id), os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return id, claim.Close()
	}
}

// keep puts an order on the disk, unless one of that name is there already.
func keep(file string, what order) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(file), "draft-")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	if _, err := draft.Write(text); err != nil {
		return err
	}
	if err := draft.Sync(); err != nil {
		return err
	}
	if err := draft.Close(); err != nil {
		return err
	}
	if err := os.Link(draft.Name(), file); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// The names of files are content of their folder.
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
