// Every method of Ollama's Go client that needs no account, against the server of OLLAMA_HOST.
//
// Arguments: a model that writes, a model that can call tools and think, a GGUF file of an embedding model.
// Prints one line for each check and exits with 1 at the first that fails. With one argument, the model, it prints the
// error with which a stream ends.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ollama/ollama/api"
)

var (
	ctx    = context.Background()
	client *api.Client
	few    = map[string]any{"num_predict": 8, "temperature": 0}
)

func must[T any](value T, err error) T {
	ok(err)
	return value
}

func ok(err error) {
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}

func check(what string, holds bool) {
	if !holds {
		fmt.Println("FAILED:", what)
		os.Exit(1)
	}
	fmt.Println("ok:", what)
}

func main() {
	client = must(api.ClientFromEnvironment())
	if len(os.Args) == 2 {
		fmt.Println(client.Chat(ctx, &api.ChatRequest{Model: os.Args[1], Messages: said("Say hello.")},
			func(api.ChatResponse) error { return nil }))
		return
	}
	model, able, gguf := os.Args[1], os.Args[2], os.Args[3]
	ok(client.Heartbeat(ctx))
	check("Version", must(client.Version(ctx)) != "")
	check("CloudStatusExperimental", must(client.CloudStatusExperimental(ctx)) != nil)
	check("ModelRecommendationsExperimental", must(client.ModelRecommendationsExperimental(ctx)) != nil)
	generate(model)
	chat(model)
	tools(able)
	thinking(able)
	format(model)
	failures(model)
	models(model)
	embeddings(gguf)
	account()
}

func generate(model string) {
	// One answer is allowed: two free ones may part at near ties.
	fixed := json.RawMessage(`{"const": "One, two, three, four, five, six, seven."}`)
	var text strings.Builder
	var last api.GenerateResponse
	ok(client.Generate(ctx, &api.GenerateRequest{Model: model, Prompt: "Say hello.", Options: few, Format: fixed},
		func(part api.GenerateResponse) error {
			text.WriteString(part.Response)
			last = part
			return nil
		}))
	check("Generate in a stream", text.Len() > 0 && last.Done && last.EvalCount == 8 && len(last.Context) > 8)
	whole, calls := "", 0
	stream := false
	ok(client.Generate(ctx, &api.GenerateRequest{Model: model, Prompt: "Say hello.", Options: few, Format: fixed, Stream: &stream},
		func(part api.GenerateResponse) error {
			whole, calls = part.Response, calls+1
			return nil
		}))
	check("Generate at once", calls == 1 && whole == text.String())
}

func chat(model string) {
	var text strings.Builder
	var tokens int
	var last api.ChatResponse
	ok(client.Chat(ctx, &api.ChatRequest{Model: model, Messages: said("Say hello."), Options: few, Logprobs: true, TopLogprobs: 2},
		func(part api.ChatResponse) error {
			text.WriteString(part.Message.Content)
			for _, token := range part.Logprobs {
				tokens++
				if len(token.TopLogprobs) != 2 || token.Logprob > 0 {
					return errors.New("a token without its alternatives")
				}
			}
			last = part
			return nil
		}))
	check("Chat in a stream", text.Len() > 0 && last.Done && last.DoneReason == "length")
	check("Chat with logprobs", tokens == 8)
}

func said(text string) []api.Message { return []api.Message{{Role: "user", Content: text}} }

func tools(able string) {
	city := api.ToolProperty{Type: api.PropertyType{"string"}, Description: "the city"}
	properties := api.NewToolPropertiesMap()
	properties.Set("city", city)
	weather := api.Tool{Type: "function", Function: api.ToolFunction{
		Name: "get_weather", Description: "The weather of a city.",
		Parameters: api.ToolFunctionParameters{Type: "object", Required: []string{"city"}, Properties: properties},
	}}
	arguments := api.NewToolCallFunctionArguments()
	arguments.Set("city", "Paris")
	call := api.ToolCall{ID: "call_1", Function: api.ToolCallFunction{Name: "get_weather", Arguments: arguments}}
	told := append(said("How is the weather in Paris?"),
		api.Message{Role: "assistant", ToolCalls: []api.ToolCall{call}},
		api.Message{Role: "tool", Content: "Rain.", ToolName: "get_weather", ToolCallID: "call_1"})
	var last api.ChatResponse
	ok(client.Chat(ctx, &api.ChatRequest{
		Model: able, Messages: told, Tools: api.Tools{weather}, Options: few, Think: &api.ThinkValue{Value: false},
	}, func(part api.ChatResponse) error {
		last = part
		return nil
	}))
	check("Chat with tools", last.Done)
}

func thinking(able string) {
	var thought strings.Builder
	ok(client.Chat(ctx, &api.ChatRequest{
		Model: able, Messages: said("Why is the sky blue?"), Options: few, Think: &api.ThinkValue{Value: true},
	}, func(part api.ChatResponse) error {
		thought.WriteString(part.Message.Thinking)
		return nil
	}))
	check("Chat that thinks", thought.Len() > 0)
}

func format(model string) {
	schema := json.RawMessage(`{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}`)
	var text strings.Builder
	ok(client.Chat(ctx, &api.ChatRequest{
		Model: model, Messages: said("A number, please."), Format: schema, Options: map[string]any{"num_predict": 40},
	}, func(part api.ChatResponse) error {
		text.WriteString(part.Message.Content)
		return nil
	}))
	var answer map[string]int
	ok(json.Unmarshal([]byte(text.String()), &answer))
	check("Chat in a format", len(answer) == 1)
}

func failures(model string) {
	err := client.Chat(ctx, &api.ChatRequest{Model: "nope", Messages: said("Hi")}, func(api.ChatResponse) error { return nil })
	var status api.StatusError
	check("an unknown model is a StatusError", errors.As(err, &status) && status.StatusCode == 404)
	err = client.Chat(ctx, &api.ChatRequest{Model: model, Messages: said("Hi"), Options: map[string]any{"top_p": 2}},
		func(api.ChatResponse) error { return nil })
	check("a wrong option is told", err != nil && strings.Contains(err.Error(), "top_p"))
}

func models(model string) {
	check("List", len(must(client.List(ctx)).Models) > 0)
	check("ListRunning", len(must(client.ListRunning(ctx)).Models) > 0)
	ok(client.Copy(ctx, &api.CopyRequest{Source: model, Destination: "go-copy"}))
	check("Show", must(client.Show(ctx, &api.ShowRequest{Model: "go-copy"})).Details.Format == "gguf")
	var statuses []string
	ok(client.Create(ctx, &api.CreateRequest{Model: "go-made", From: "go-copy", System: "Be brief."},
		func(step api.ProgressResponse) error {
			statuses = append(statuses, step.Status)
			return nil
		}))
	check("Create", statuses[len(statuses)-1] == "success")
	check("Create keeps the system prompt", must(client.Show(ctx, &api.ShowRequest{Model: "go-made"})).System == "Be brief.")
	for _, name := range []string{"go-copy", "go-made"} {
		ok(client.Delete(ctx, &api.DeleteRequest{Model: name}))
	}
	err := client.Delete(ctx, &api.DeleteRequest{Model: "go-copy"})
	check("Delete", err != nil)
	ignore := func(api.ProgressResponse) error { return nil }
	err = client.Pull(ctx, &api.PullRequest{Model: "127.0.0.1:9/none/none", Insecure: true}, ignore)
	check("Pull tells what is wrong", err != nil)
	err = client.Push(ctx, &api.PushRequest{Model: "127.0.0.1:9/none/none", Insecure: true}, ignore)
	check("Push tells what is wrong", err != nil)
}

func embeddings(gguf string) {
	data := must(os.ReadFile(gguf))
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	ok(client.CreateBlob(ctx, digest, bytes.NewReader(data)))
	ok(client.Create(ctx, &api.CreateRequest{Model: "go-embed", Files: map[string]string{"model.gguf": digest}},
		func(api.ProgressResponse) error { return nil }))
	answer := must(client.Embed(ctx, &api.EmbedRequest{Model: "go-embed", Input: []string{"a b", "x"}}))
	check("Embed", len(answer.Embeddings) == 2 && len(answer.Embeddings[0]) > 0 && answer.PromptEvalCount > 0)
	check("Embeddings", len(must(client.Embeddings(ctx, &api.EmbeddingRequest{Model: "go-embed", Prompt: "a"})).Embedding) > 0)
	ok(client.Delete(ctx, &api.DeleteRequest{Model: "go-embed"}))
}

func account() {
	_, err := client.Whoami(ctx)
	var signIn api.AuthorizationError
	check("Whoami asks to sign in", errors.As(err, &signIn) && signIn.SigninURL != "")
	check("Signout says that nobody is", client.Signout(ctx) != nil)
	_, err = client.WebSearchExperimental(ctx, &api.WebSearchRequest{Query: "x"})
	check("WebSearchExperimental is refused", err != nil)
	_, err = client.WebFetchExperimental(ctx, &api.WebFetchRequest{URL: "http://127.0.0.1:9/"})
	check("WebFetchExperimental is refused", err != nil)
}
