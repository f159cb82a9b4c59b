package azureopenai

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
)

type embeddingList struct {
	Object string      `json:"object"`
	Data   []embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  *usage      `json:"usage"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// embed answers with unit vectors that depend on the inputs only.
func (e *exchange) embed() error {
	if err := e.sleep(e.dice.jitter(e.deployment.Latency.FirstByte, e.deployment.Latency.Jitter)); err != nil {
		return err
	}
	return e.writeBody(e.embeddingBody())
}

// embeddingBody is the list of embeddings as it is answered.
func (e *exchange) embeddingBody() embeddingList {
	req := e.request
	size := req.dimensions
	if size == 0 {
		size = 1536
		if strings.HasSuffix(e.deployment.Model, "3-large") {
			size = 3072
		}
	}
	list := embeddingList{Object: "list", Model: e.deployment.Model, Usage: e.usage()}
	for i, in := range req.inputs {
		v := vector(in, size)
		item := embedding{Object: "embedding", Index: i, Embedding: v}
		if req.base64 {
			raw := make([]byte, 0, 4*size)
			for _, x := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
			}
			item.Embedding = base64.StdEncoding.EncodeToString(raw)
		}
		list.Data = append(list.Data, item)
	}
	return list
}

func vector(in prompt, size int64) []float32 {
	random := rand.New(rand.NewPCG(uint64(crc32.Checksum([]byte(in.text), castagnoli)), uint64(in.tokens)))
	v := make([]float32, size)
	var sum float64
	for i := range v {
		x := random.Float64() - 0.5
		v[i] = float32(x)
		sum += x * x
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= scale
	}
	return v
}
