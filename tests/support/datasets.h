// What tests ask of a dataset, and RxRx1 in small.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "engine/check.h"
#include "tests/support/temp_dir.h"

namespace cytograd::test {

using Names = std::vector<std::string>;

inline std::string error_of(const TempDir& dir) {
  return test::message_of<Error>([&] { open_dataset(dir.path()); });
}

inline Names names(const std::vector<Sample>& samples) {
  Names all;
  for (const Sample& sample : samples) all.push_back(sample.name);
  return all;
}

inline Names values(const Dataset& dataset, std::string_view column) {
  Names all;
  for (const Sample& sample : dataset.samples) all.push_back(sample.values[dataset.require_column(column)]);
  return all;
}

/// The missing files below the root, with the reasons.
inline Names missing(const Dataset& dataset) {
  Names all;
  for (const MissingImage& one : dataset.missing)
    all.push_back(one.file.lexically_relative(dataset.root).string() + ": " + one.reason);
  return all;
}

inline void write_site(const TempDir& dir, const std::string& stem) {
  for (int channel = 1; channel <= 6; ++channel) dir.write(stem + "_w" + std::to_string(channel) + ".png");
}

/// Two wells of one plate and a control of another, all sites there.
inline void write_kaggle(const TempDir& dir) {
  dir.write("train.csv",
            "id_code,experiment,plate,well,sirna\nU2OS-01_1_C10,U2OS-01,1,C10,sirna_7\n"
            "U2OS-01_1_C9,U2OS-01,1,C9,sirna_8\n");
  dir.write("train_controls.csv",
            "id_code,experiment,plate,well,sirna,well_type\n"
            "U2OS-01_2_B02,U2OS-01,2,B02,UNTREATED,negative_control\n");
  for (const char* stem :
       {"Plate1/C10_s1", "Plate1/C10_s2", "Plate1/C9_s1", "Plate1/C9_s2", "Plate2/B02_s1", "Plate2/B02_s2"})
    write_site(dir, "train/U2OS-01/" + std::string(stem));
}

}  // namespace cytograd::test
