package azureopenai

// perform writes the answer of the operation.
func (e *exchange) perform() error {
	switch e.request.operation {
	case Embeddings:
		return e.embed()
	case Responses:
		return e.respondWith(e.composeResponse())
	case ImageGenerations, ImageEdits, ImageVariations:
		return e.makeImages()
	case Speech:
		return e.speak()
	case Transcriptions, Translations:
		return e.transcribe()
	case Moderations:
		return e.moderate()
	case GetResponse:
		return e.getResponse()
	case DeleteResponse:
		return e.deleteResponse()
	case CancelResponse:
		return e.cancelResponse()
	case InputItems:
		return e.inputItems()
	}
	if e.deployment == e.server.resource {
		return e.performStored()
	}
	if e.request.stream {
		return e.stream(e.compose())
	}
	return e.plain(e.compose())
}

// performStored writes the answer about models, files and batches.
func (e *exchange) performStored() error {
	switch e.request.operation {
	case ListModels:
		return e.listModels()
	case GetModel:
		return e.getModel()
	case UploadFile:
		return e.uploadFile()
	case ListFiles:
		return e.listFiles()
	case GetFile:
		return e.getFile()
	case DeleteFile:
		return e.deleteFile()
	case FileContent:
		return e.fileContent()
	case CreateBatch:
		return e.createBatch()
	case ListBatches:
		return e.listBatches()
	case GetBatch:
		return e.getBatch()
	}
	return e.cancelBatch()
}
