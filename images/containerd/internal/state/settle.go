package state

import (
	"bytes"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// settle sets every time in a database to the same moment and writes the database anew without the pages that are free:
// the same images give the same bytes.
func settle(path string) error {
	src, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer src.Close()
	moment, err := time.Unix(0, 0).UTC().MarshalBinary()
	if err != nil {
		return fmt.Errorf("cannot encode a time: %w", err)
	}
	err = src.Update(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return retime(b, moment) })
	})
	if err != nil {
		return fmt.Errorf("cannot set the times in %s: %w", path, err)
	}
	fresh := path + ".fresh"
	dst, err := bolt.Open(fresh, 0o600, &bolt.Options{NoSync: true}) // a build that is cut off starts anew
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", fresh, err)
	}
	defer dst.Close()
	// One value a transaction: in a larger one, bolt places the pages of several buckets in an order that it draws by lot.
	if err := bolt.Compact(dst, src, 1); err != nil {
		return fmt.Errorf("cannot compact %s: %w", path, err)
	}
	if err := dst.Close(); err != nil {
		return fmt.Errorf("cannot close %s: %w", fresh, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("cannot replace %s: %w", path, err)
	}
	return nil
}

// retime sets the times of a bucket and of those in it.
func retime(b *bolt.Bucket, moment []byte) error {
	var keys [][]byte
	err := b.ForEach(func(k, v []byte) error {
		if v == nil {
			return retime(b.Bucket(k), moment)
		}
		if bytes.Equal(k, []byte("createdat")) || bytes.Equal(k, []byte("updatedat")) {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys { // not while ForEach walks the bucket
		if err := b.Put(k, moment); err != nil {
			return err
		}
	}
	return nil
}
