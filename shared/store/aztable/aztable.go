// Package aztable is a store.Store on Azure Table Storage, or on anything that
// speaks its protocol (Azurite, Azure Cosmos DB for Table). One store is one
// table.
//
// Every write is a single-entity request that carries an ETag or demands that
// the row is new; there are no batches and no merges. The retries of the SDK are
// off: a conditional write that is sent twice answers its own success with
// "precondition failed". What an answer means, and above all what a lost answer
// means, is decided in errors.go.
package aztable

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"regexp"
	"strings"
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
	// Transport sends the requests; default: a transport of its own, made for many
	// small requests to one host.
	Transport http.RoundTripper
}

// Store is one table. It is safe for concurrent use.
type Store struct {
	table      *aztables.Client
	tryTimeout time.Duration
	maxRow     int // Longest encoded row key in bytes.
}

var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{2,62}$`)

// Open checks the options and returns the store. It sends nothing, so that a
// process starts while the table is out of reach; the context is only checked.
// No error holds any part of a key, a token or a connection string.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("aztable: %w", err)
	}
	if !tableName.MatchString(o.Table) {
		return nil, errors.New("aztable: a table name has 3 to 63 letters and digits and starts with a letter")
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
	service, endpoint, err := connect(o, settings)
	if err != nil {
		return nil, fmt.Errorf("aztable: %w", err)
	}
	s := &Store{table: service.NewClient(o.Table), tryTimeout: o.TryTimeout, maxRow: maxKey}
	if strings.Contains(endpoint, ".table.cosmos.") {
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
	err = s.try(ctx, "insert", insert)
	if isMissing(err) {
		// An insert misses nothing but its table. The answer is definite, nothing was
		// written, so to send it again is safe.
		if err := s.createTable(ctx); err != nil {
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

// Query implements store.Store. Each page of at most 1,000 rows is one request
// with its own try timeout. A row whose key this package could not have written
// is skipped.
func (s *Store) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if filter.RowTo != "" && filter.RowFrom >= filter.RowTo {
			return
		}
		text := "PartitionKey eq '" + encodeKey(filter.Partition) + "' and RowKey ge '" + encodeKey(filter.RowFrom) + "'"
		if filter.RowTo != "" {
			text += " and RowKey lt '" + encodeKey(filter.RowTo) + "'"
		}
		pages := s.table.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &text})
		for pages.More() {
			rows, err := s.nextPage(ctx, pages)
			if isMissing(err) {
				return // No table yet is a table without rows.
			}
			if err != nil {
				yield(store.Row{}, readError(err))
				return
			}
			for _, row := range rows {
				if row.Partition == filter.Partition && !yield(row, nil) {
					return
				}
			}
		}
	}
}

func (s *Store) nextPage(ctx context.Context, pages *runtime.Pager[aztables.ListEntitiesResponse]) ([]store.Row, error) {
	var rows []store.Row
	err := s.try(ctx, "query", func(ctx context.Context) error {
		var answer *http.Response
		if _, err := pages.NextPage(policy.WithCaptureResponse(ctx, &answer)); err != nil {
			return err
		}
		body, err := runtime.Payload(answer)
		if err != nil {
			return err
		}
		rows, err = decodePage(body)
		return err
	})
	return rows, err
}

// createTable makes the table. That it exists already is fine: somebody else was
// quicker.
func (s *Store) createTable(ctx context.Context) error {
	err := s.try(ctx, "create table", func(ctx context.Context) error {
		_, err := s.table.CreateTable(ctx, nil)
		return err
	})
	failure := (*Error)(nil)
	if err == nil || errors.As(err, &failure) && failure.Status == http.StatusConflict &&
		failure.Code != string(aztables.TableBeingDeleted) {
		return nil
	}
	return unavailable(err) // No row was written, whatever happened to the table.
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
		return newError(operation, progress, err)
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
		return "", &Error{Operation: operation, Reason: "answer without ETag", Kind: store.ErrAmbiguous}
	}
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
