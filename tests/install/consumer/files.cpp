// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/npz.hpp>
#include <hypersd/io/png.hpp>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  using namespace hypersd;
  if (argc != 2) return 2;
  const std::string path = argv[1] + std::string("/x.npz");
  io::NpzWriter file(path);
  file.add("x", Tensor<float>::ones(Shape{2, 2}));
  file.commit();
  const io::Image image(3, 2, 1);
  const io::Image back = io::decode_png(io::encode_png(image), "memory");
  std::cout << "a .npz file and a PNG\n";
  return io::NpzFile(path).tensor<float>("x").size() == 4 && back.width == 3 ? 0 : 1;
}
