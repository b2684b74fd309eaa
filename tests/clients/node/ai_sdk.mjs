// Two turns of the Vercel AI SDK, the first with a tool; or one answer in a structure. Prints what came of it as JSON.
//
//     node ai_sdk.mjs PROVIDER HOW [STORE]     PROVIDER: openai | open-responses; HOW: generate | stream | object; STORE: store | forget | seal
//
// ROUNDHOUSE_URL and ROUNDHOUSE_KEY say where the gateway is.

import { createOpenAI } from '@ai-sdk/openai'
import { createOpenResponses } from '@ai-sdk/open-responses'
import { generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

globalThis.AI_SDK_LOG_WARNINGS = false // they would go to the output

const [provider, how, store = 'store'] = process.argv.slice(2)
const { ROUNDHOUSE_URL: url, ROUNDHOUSE_KEY: apiKey } = process.env

const models = {
  openai: () => createOpenAI({ baseURL: url, apiKey }).responses('tiny'),
  'open-responses': () => createOpenResponses({ name: 'roundhouse', url: `${url}/responses`, apiKey })('tiny'),
}

const weather = tool({
  description: 'The weather of a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
})

const asked = {
  generate: async (request) => {
    const said = await generateText(request)
    return { text: said.text, reasoning: said.reasoningText, pieces: [], steps: said.steps, messages: said.response.messages }
  },
  stream: async (request) => {
    const errors = []
    const said = streamText({ ...request, onError: ({ error }) => errors.push(error) })
    const pieces = []
    for await (const piece of said.textStream) pieces.push(piece)
    if (errors.length) throw errors[0]
    const reasoning = await said.reasoningText
    return { text: await said.text, reasoning, pieces, steps: await said.steps, messages: (await said.response).messages }
  },
}

async function turn(messages) {
  const said = await asked[how]({
    model: models[provider](),
    system: 'Be brief.',
    messages,
    tools: { weather },
    stopWhen: stepCountIs(4),
    maxRetries: 0,
    providerOptions: store === 'store' ? {} : { openai: { store: false, include: store === 'seal' ? ['reasoning.encrypted_content'] : [] } },
  })
  const steps = said.steps.map((step) => ({
    finish: step.finishReason,
    calls: step.toolCalls.map((call) => ({ name: call.toolName, input: call.input })),
    results: step.toolResults.map((result) => result.output),
    usage: { input: step.usage.inputTokens, output: step.usage.outputTokens },
  }))
  return { ...said, steps }
}

async function talk() {
  const first = [{ role: 'user', content: 'Weather in Oslo?' }]
  const one = await turn(first)
  const two = await turn([...first, ...one.messages, { role: 'user', content: 'Thank you' }])
  for (const each of [one, two]) delete each.messages
  return [one, two]
}

async function city() {
  const schema = z.object({ name: z.string(), inhabitants: z.number() })
  const said = await generateText({ model: models[provider](), prompt: 'Oslo?', output: Output.object({ schema }), maxRetries: 0 })
  return said.output
}

console.log(JSON.stringify(how === 'object' ? await city() : await talk()))
