package clients_test

import (
	"testing"
)

// Frameworks on top of the official clients, or beside them, get the same text, in one
// piece and in a stream, from the gateway as from the service.
func TestFrameworks(t *testing.T) {
	skipIfShort(t)
	langchain := client{"LangChain", func(t testing.TB, s service) []line { return runPython(t, "langchain.py", s) }}
	vercel := client{"Vercel AI SDK", func(t testing.TB, s service) []line { return runNode(t, "vercel.mjs", s) }}
	chat := []string{"chat", "chat, streamed"}
	everything := append(chat, "response", "response, streamed")
	tests := []struct {
		client client
		how    constructor
		calls  []string
	}{
		{langchain, openAI, everything},
		{langchain, azure, chat},
		{vercel, openAI, everything},
		{vercel, azureV1, everything},
		{vercel, azure, chat}, // it knows no path for responses that names a deployment
	}
	for _, test := range tests {
		t.Run(test.client.name+", "+string(test.how), func(t *testing.T) {
			t.Parallel()
			direct := test.client.directly(t, test.how, test.calls)
			if len(direct) != len(test.calls) {
				t.Fatalf("%d calls were made, want %q", len(direct), test.calls)
			}
			for i, name := range test.calls {
				if direct[i].Call != name || direct[i].Error != nil || direct[i].Result == nil {
					t.Errorf("the service itself: call %q comes to %+v, want an answer to %q", direct[i].Call, direct[i], name)
				}
			}
			checkEqual(t, new(rowsUsed), direct, test.client.throughGateway(t, test.how, test.calls))
		})
	}
}
