// Package aztable is a store.Store on Azure Table Storage, or on anything that
// speaks its protocol (Azurite, Azure Cosmos DB for Table). One store is one
// table.
//
// Every write is a single-entity request that carries an ETag or demands that
// the row is new; there are no batches and no merges. The retries of the SDK are
// off: a conditional write that is sent twice answers its own success with
// "precondition failed". What an answer means, and above all what a lost answer
// means, is decided in errors.go.
//
// The package asks for nothing that Azure Cosmos DB for Table lacks or does
// otherwise (see "Azure Cosmos DB for Table FAQ" in its documentation): row keys
// of at most 255 bytes; rows that come in any order; a table name that is written
// the same way each time, because upper and lower case differ there; no column
// that is named like a system property (package store); no PATCH; filters of
// comparisons joined by "and" only. Its 429, the request units being used up, is
// a refusal before anything was written.
//
// A table that is deleted while instances run is made anew with the next row
// that is inserted. Until the service has finished to delete it, which takes
// Table Storage 40 seconds and more, it is unavailable. Whatever the rows counted
// is lost: the store cannot bring it back, so it reports the loss
// (Options.OnTableCreated) and goes on. Refusing to go on would not be safer,
// because an instance that starts afterwards cannot tell a deleted table from a
// new one.
package aztable

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"spillway/shared/store"
)

// DefaultTryTimeout is the time one request to the table service may take.
const DefaultTryTimeout = 2 * time.Second

// Options says which table to use. Either Connection or Endpoint with
// Credential must be set.
type Options struct {
	// Connection is the connection string of a storage account: with an account
	// key, with a shared access signature, or "UseDevelopmentStorage=true" for
	// the emulator on this machine (optionally with DevelopmentStorageProxyUri).
	Connection string
	// Endpoint is the URL of the table service, such as
	// https://contoso.table.core.windows.net. It must be https.
	Endpoint string
	// Credential gives the tokens for Endpoint.
	Credential azcore.TokenCredential
	// Table is the name of the table: 3 to 63 letters and digits, the first one a
	// letter. It is created with the first row, if it is missing.
	Table string
	// TryTimeout bounds one request; default DefaultTryTimeout.
	TryTimeout time.Duration
	// OnServerDate, if set, gets the Date header of each answer (resolution one
	// second) and the local times just before the request was sent and just after
	// the answer's headers came. It is called by many goroutines and must not block.
	OnServerDate func(date, sent, received time.Time)
	// OnTableCreated, if set, is called when the table was missing and has been made,
	// by this store as far as it can tell. It is lost if this store had used the
	// table before: somebody deleted it with all rows, which each store that finds it
	// missing reports. It is called by many goroutines and must not block.
	OnTableCreated func(lost bool)
	// Transport sends the requests; default: a transport of its own, made for many
	// small requests to one host.
	Transport http.RoundTripper
}

// Store is one table. It is safe for concurrent use.
type Store struct {
	table      *aztables.Client
	name       string // Of the table.
	account    account
	tryTimeout time.Duration
	maxRow     int // Longest encoded row key in bytes.
	onCreated  func(lost bool)
	used       atomic.Bool // The table existed at some time.
	doubt      atomic.Bool // It was missing, and whether it has been made is unknown.
}

var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{2,62}$`)

// Open checks the options and returns the store. It sends nothing, so that a
// process starts while the table is out of reach (Check asks the service); the
// context is only checked. No error holds any part of a key, a token or a
// connection string.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("aztable: %w", err)
	}
	if !tableName.MatchString(o.Table) || strings.EqualFold(o.Table, "tables") {
		return nil, errors.New("aztable: a table name has 3 to 63 letters and digits, starts with a letter, and is not \"tables\"")
	}
	if o.TryTimeout < 0 {
		return nil, errors.New("aztable: negative try timeout")
	}
	if o.TryTimeout == 0 {
		o.TryTimeout = DefaultTryTimeout
	}
	if o.Transport == nil {
		o.Transport = defaultTransport()
	}
	settings := &aztables.ClientOptions{ClientOptions: policy.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: &transport{next: o.Transport, onServerDate: o.OnServerDate},
	}}
	service, account, err := connect(o, settings)
	if err != nil {
		return nil, fmt.Errorf("aztable: %w", err)
	}
	s := &Store{
		table: service.NewClient(o.Table), name: o.Table, account: account,
		tryTimeout: o.TryTimeout, maxRow: maxKey, onCreated: o.OnTableCreated,
	}
	if account.cosmos() {
		s.maxRow = maxCosmosRow
	}
	return s, nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Row, error) {
	partition, row, err := s.encode(key)
	if err != nil {
		return store.Row{}, err
	}
	var found entity
	err = s.try(ctx, "get", func(ctx context.Context) error {
		var answer *http.Response
		got, err := s.table.GetEntity(policy.WithCaptureResponse(ctx, &answer), partition, row, nil)
		if err != nil {
			return err
		}
		// The SDK re-encodes the body and loses the types of numbers on the way.
		body, err := runtime.Payload(answer)
		if err != nil {
			return err
		}
		found, err = decodeEntity(body)
		if got.ETag != "" {
			found.etag = string(got.ETag)
		}
		return err
	})
	if err != nil {
		return store.Row{}, readError(err)
	}
	s.used.Store(true)
	return store.Row{Key: key, ETag: found.etag, Columns: found.columns}, nil
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	body, err := s.body(key, columns)
	if err != nil {
		return "", err
	}
	var etag azcore.ETag
	insert := func(ctx context.Context) error {
		answer, err := s.table.AddEntity(ctx, body, nil)
		etag = answer.ETag
		return err
	}
	used := s.used.Load()
	err = s.try(ctx, "insert", insert)
	if isMissing(err) {
		// An insert misses nothing but its table. The answer is definite, nothing was
		// written, so to send it again is safe.
		if err := s.createTable(ctx, used); err != nil {
			return "", err
		}
		err = s.try(ctx, "insert", insert)
	}
	if isMissing(err) {
		return "", unavailable(err) // Somebody is deleting the table.
	}
	return s.written(etag, "insert", err)
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	if !store.ValidETag(etag) {
		return "", fmt.Errorf("aztable: replace: %w: no etag", store.ErrInvalid)
	}
	body, err := s.body(key, columns)
	if err != nil {
		return "", err
	}
	match := azcore.ETag(etag)
	var newETag azcore.ETag
	err = s.try(ctx, "replace", func(ctx context.Context) error {
		answer, err := s.table.UpdateEntity(ctx, body, &aztables.UpdateEntityOptions{
			IfMatch:    &match,
			UpdateMode: aztables.UpdateModeReplace,
		})
		newETag = answer.ETag
		return err
	})
	return s.written(newETag, "replace", err)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key, etag string) error {
	if !store.ValidETag(etag) {
		return fmt.Errorf("aztable: delete: %w: no etag", store.ErrInvalid)
	}
	partition, row, err := s.encode(key)
	if err != nil {
		return err
	}
	match := azcore.ETag(etag)
	err = s.try(ctx, "delete", func(ctx context.Context) error {
		_, err := s.table.DeleteEntity(ctx, partition, row, &aztables.DeleteEntityOptions{IfMatch: &match})
		return err
	})
	if err != nil {
		return writeError(err)
	}
	return nil
}

// createTable makes the table. That it exists already is fine: somebody else was
// quicker. used tells whether the table had existed before it was found missing; while a
// process starts, others of its calls may make it meanwhile.
func (s *Store) createTable(ctx context.Context, used bool) error {
	err := s.try(ctx, "create table", func(ctx context.Context) error {
		_, err := s.table.CreateTable(ctx, nil)
		return err
	})
	failure := (*Error)(nil)
	switch {
	case err == nil:
		s.created(used)
		return nil
	case errors.As(err, &failure) && failure.Status == http.StatusConflict && failure.Code != string(aztables.TableBeingDeleted):
		if used {
			s.created(used)
		}
		return nil
	}
	if used || failure == nil || failure.Status == 0 || failure.Status >= 500 {
		s.doubt.Store(true) // The next row that is written tells.
	}
	return unavailable(err) // No row was written, whatever happened to the table.
}

// created reports that there is a table where there was none.
func (s *Store) created(lost bool) {
	s.doubt.Store(false)
	s.used.Store(true)
	if s.onCreated != nil {
		s.onCreated(lost)
	}
}

// try runs one request within the try timeout. An error is an *Error that has
// no Kind yet.
func (s *Store) try(ctx context.Context, operation string, send func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return newError(operation, &exchange{}, err)
	}
	progress := &exchange{}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, progress), s.tryTimeout)
	defer cancel()
	if err := send(ctx); err != nil {
		e := newError(operation, progress, err)
		e.Hint = s.hint(e, progress)
		return e
	}
	return nil
}

// written ends a write that gives an ETag. An answer without one cannot have
// come from the service itself, so it proves nothing.
func (s *Store) written(etag azcore.ETag, operation string, err error) (string, error) {
	if err != nil {
		return "", writeError(err)
	}
	if !store.ValidETag(string(etag)) {
		return "", &Error{Operation: operation, Reason: "answer without ETag", Hint: s.notTables(), Kind: store.ErrAmbiguous}
	}
	if s.doubt.CompareAndSwap(true, false) {
		s.created(s.used.Load())
	}
	s.used.Store(true)
	return string(etag), nil
}

func (s *Store) body(key store.Key, columns store.Columns) ([]byte, error) {
	partition, row, err := s.encode(key)
	if err != nil {
		return nil, err
	}
	return encodeEntity(partition, row, columns)
}

func (s *Store) encode(key store.Key) (partition, row string, err error) {
	partition, row = encodeKey(key.Partition), encodeKey(key.Row)
	if len(partition) > maxKey || len(row) > s.maxRow {
		return "", "", fmt.Errorf("aztable: %w: key too long", store.ErrInvalid)
	}
	return partition, row, nil
}

var _ store.Store = (*Store)(nil)
