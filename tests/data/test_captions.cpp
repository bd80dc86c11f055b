// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/captions.hpp>

#include <doctest/doctest.h>

#include <hypersd/data/fashion_mnist.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

TEST_CASE("words") {
  CHECK(data::caption_words(" T-shirt/Top,  ankle\tboot ") ==
        std::vector<std::string>{"t-shirt", "top", "ankle", "boot"});
  CHECK(data::caption_words(" / ").empty());
}

TEST_CASE("captions of Fashion-MNIST") {
  const data::Captions captions(data::fashion_mnist_classes());
  CHECK(captions.vocabulary() == 13);
  CHECK(captions.longest() == 2);
  CHECK(captions.encode("T-shirt/top", 4).to_vector() == std::vector<std::int32_t>{1, 2, 0, 0});
  CHECK(captions.encode("ankle boot", 2).to_vector() == std::vector<std::int32_t>{11, 12});
  CHECK(captions.word(12) == "boot");
  CHECK(captions.word(0).empty());
  CHECK(data::Captions::null(3).to_vector() == std::vector<std::int32_t>{0, 0, 0});
  const auto batch = captions.encode_labels(Tensor<std::int32_t>::from({2}, {9, 8}), 2);
  CHECK(batch.shape() == Shape{2, 2});
  CHECK(batch.to_vector() == std::vector<std::int32_t>{11, 12, 10, 0});
  // No two classes share a caption.
  for (int a = 0; a < 10; ++a)
    for (int b = 0; b < a; ++b)
      CHECK(captions.encode(captions.class_name(a), 2).to_vector() !=
            captions.encode(captions.class_name(b), 2).to_vector());
}

TEST_CASE("other sets") {
  const data::Captions captions(data::numbered_classes(3));
  CHECK(captions.encode("class 2", 2).to_vector() == std::vector<std::int32_t>{1, 4});
  CHECK(data::Captions().vocabulary() == 1);
}

TEST_CASE("captions that cannot be encoded") {
  const data::Captions captions(data::fashion_mnist_classes());
  const std::string text = message_of<OptionError>([&] { (void)captions.encode("ankle sock", 4); });
  CHECK(mentions(text, "unknown word 'sock'; known words: t-shirt, top, trouser"));
  CHECK(mentions(message_of<OptionError>([&] { (void)captions.encode("  ", 4); }), "is empty"));
  CHECK(mentions(message_of<OptionError>([&] { (void)captions.encode("ankle boot", 1); }),
                 "has 2 words, more than the model's limit of 1"));
  CHECK(mentions(message_of<OptionError>([&] { (void)captions.class_name(10); }), "label 10"));
  CHECK_THROWS_AS((void)captions.word(13), OptionError);
  CHECK_THROWS_AS((void)data::Captions::null(0), OptionError);
  CHECK_THROWS_AS(data::Captions({"good", " / "}), OptionError);
}
