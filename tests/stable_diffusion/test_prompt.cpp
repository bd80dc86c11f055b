// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/prompt.hpp>

#include <hypersd/nn/state.hpp>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

constexpr std::int64_t length = 16, tokens = 614;
const std::vector<std::string> prompts{"a cat on the moon!", "",
                                       "the <|endoftext|> end, and an other thing in the rain that goes on and on"},
    second{"an old man", "in <style> on", "!"};

const io::SafetensorsFile& golden() {
  static const io::SafetensorsFile file(std::string(HYPERSD_TEST_DATA) + "/prompt.safetensors");
  return file;
}
Tensor<float> value(const std::string& name) { return golden().get<float>(name); }

/// The golden's tokenizer: CLIP's bytes and first 100 merges, 16 ids.
text::ClipTokenizer tokenizer(bool second_of_sdxl) {
  static const auto clip = text::read_clip_merges(std::string(HYPERSD_TEST_DATA) + "/clip_merges.txt.gz");
  text::ClipVocabulary out;
  out.merges.assign(clip.merges.begin(), clip.merges.begin() + 100);
  for (const auto& [token, id] : clip.tokens)
    if (id < tokens - 2) out.tokens.emplace(token, id);
  out.max_length = length;
  for (const std::string& token : {out.start, out.end}) {
    const auto id = static_cast<std::int32_t>(out.tokens.size());
    out.tokens.emplace(token, id);
    out.added.push_back({token, id, second_of_sdxl});
  }
  if (second_of_sdxl) {
    out.pad = "!";
    out.added.push_back({"!", 0, false});
    out.tokens.emplace("<style>", tokens);
    out.added.push_back({"<style>", tokens, false});
  }
  return text::ClipTokenizer(out);
}

nn::TextEncoder<float> encoder(const std::string& prefix, nn::TextEncoderConfig config) {
  config.max_length = length;
  config.heads = 2;
  config.mlp_channels = 3 * config.channels;
  nn::TextEncoder<float> out(config);
  nn::StateDict<float> state;
  const std::string start = prefix + ".param.";
  for (const std::string& name : golden().names())
    if (name.rfind(start, 0) == 0) state.emplace(name.substr(start.size()), value(name));
  nn::load_state_dict(out, state);
  return out;
}
nn::TextEncoderConfig config(std::int64_t vocabulary, std::int64_t channels, std::int64_t layers, bool quick,
                             std::int64_t projection = 0) {
  nn::TextEncoderConfig c;
  c.vocabulary = vocabulary;
  c.channels = channels;
  c.layers = layers;
  c.quick_gelu = quick;
  c.projection_dim = projection;
  return c;
}
std::vector<nn::TextEncoder<float>> sdxl_encoders() {
  return {encoder("sdxl.0", config(tokens, 8, 3, true)), encoder("sdxl.1", config(tokens + 1, 12, 4, false, 10))};
}
std::vector<text::ClipTokenizer> sdxl_tokenizers() { return {tokenizer(false), tokenizer(true)}; }

/// Whether ids are those of the golden file.
bool same_ids(const Tensor<std::int32_t>& got, const std::string& name) {
  const auto want = golden().get<std::int32_t>(name);
  return got.shape() == want.shape() && std::equal(got.data(), got.data() + got.size(), want.data());
}

}  // namespace

TEST_CASE("prompt: embeddings of SD1.5 and SD2.1 as diffusers computes them, with layers left out") {
  for (const std::string name : {"sd15", "sd21"}) {
    const sd::PromptEncoder<float> encode({encoder(name + ".0", config(tokens, 8, 3, name == "sd15"))},
                                          {tokenizer(false)});
    CHECK(same_ids(encode.tokens(prompts)[0], name + ".ids.0"));
    for (const int skip : {0, 1, 2}) {
      const auto got = encode(prompts, {}, skip);
      CHECK(checkpoints::difference(got.states, value(name + ".states." + std::to_string(skip))) < 5e-6);
      CHECK(!got.pooled.defined());
    }
    // Each choice of layers is another result.
    CHECK(checkpoints::difference(encode(prompts, {}, 1).states, value(name + ".states.0")) > 1e-2);
    CHECK_NOTHROW((void)encode(prompts, {}, 3));
    CHECK_THROWS_AS((void)encode(prompts, {}, 4), OptionError);
    CHECK_THROWS_AS((void)encode(prompts, {}, -1), OptionError);
  }
}

TEST_CASE("prompt: SDXL's states and pooled text as diffusers computes them") {
  auto encoders = sdxl_encoders();
  const sd::PromptEncoder<float> encode(encoders, sdxl_tokenizers());
  const auto ids = encode.tokens(prompts, second);
  CHECK(same_ids(ids[0], "sdxl.ids.0"));
  CHECK(same_ids(ids[1], "sdxl.ids.1"));
  for (const int skip : {0, 1}) {
    const auto got = encode(prompts, second, skip);
    CHECK(got.states.shape() == Shape{3, length, 20});
    CHECK(checkpoints::difference(got.states, value("sdxl.states." + std::to_string(skip))) < 5e-6);
    CHECK(checkpoints::difference(got.pooled, value("sdxl.pooled")) < 5e-6);
  }
  // A token with an id above the end token's is where older configurations read the pooled text.
  encoders[1].config.eos_token_id = tokens - 1;
  const auto fresh = sd::PromptEncoder<float>(encoders, sdxl_tokenizers())(prompts, second);
  CHECK(checkpoints::difference(fresh.pooled, value("sdxl.pooled.new")) < 5e-6);
  CHECK(checkpoints::difference(value("sdxl.pooled"), value("sdxl.pooled.new")) > 1e-2);

  const auto zeros = encode.zeros(fresh);
  CHECK(zeros.states.shape() == fresh.states.shape());
  CHECK(checkpoints::difference(zeros.pooled, Tensor<float>::zeros({3, 10})) == 0);
  // Without texts of its own the second encoder is given the first one's.
  CHECK(same_ids(encode.tokens(second)[1], "sdxl.ids.1"));
}

TEST_CASE("prompt: parts that do not fit are refused") {
  const std::vector<std::string> one{"a"};
  const sd::PromptEncoder<float> encode(sdxl_encoders(), sdxl_tokenizers());
  CHECK_THROWS_AS((void)encode(prompts, one), ShapeError);
  CHECK_THROWS_AS(sd::PromptEncoder<float>(sdxl_encoders(), {tokenizer(false)}), OptionError);
  CHECK_THROWS_AS(sd::PromptEncoder<float>({}, {}), OptionError);
  auto plain = sdxl_encoders();
  plain[1].text_projection.reset();
  const sd::PromptEncoder<float> unprojected(plain, sdxl_tokenizers());
  CHECK(test::mentions(test::message_of<OptionError>([&] { (void)unprojected(prompts); }), "needs a text projection"));
  const nn::TextEncoder<float> tiny(nn::TextEncoderConfig{.max_length = 8});
  CHECK(test::mentions(test::message_of<OptionError>([&] { sd::PromptEncoder<float>({tiny}, {tokenizer(false)}); }),
                       "pads to 16 ids, its text encoder has 8 positions"));
}
