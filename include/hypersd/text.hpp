// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Tokenizers. They need utf8proc and zlib and are included where those are found.

#if __has_include(<utf8proc.h>) && __has_include(<zlib.h>)
#include <hypersd/text/added_tokens.hpp>
#include <hypersd/text/byte_pairs.hpp>
#include <hypersd/text/clip_tokenizer.hpp>
#include <hypersd/text/clip_vocabulary.hpp>
#include <hypersd/text/unicode.hpp>
#include <hypersd/text/word_pieces.hpp>
#endif
