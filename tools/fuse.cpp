#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include "data/colormap.h"
#include "data/contact_sheet.h"
#include "data/csv.h"
#include "data/natural_order.h"
#include "engine/atomic_file.h"
#include "tools/commands.h"
#include "tools/option_values.h"
#include "tools/pipeline.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

struct FuseSettings {
  std::string data;
  std::string out;
  std::string method = "colormap";
  std::string preview;
  std::vector<std::string> where;
  double max_missing = 0.05;
  int64_t workers = 2;
};

/// A sample's name with the extension of a picture, fit for the column image of a labels.csv, where ';' parts channels.
std::string picture_name(const Sample& sample) {
  std::string text = sample.name;
  if (sample.files.size() > 1) text.resize(std::min(text.size(), text.find(';')));
  std::replace(text.begin(), text.end(), ';', '_');
  fs::path name = fs::path(text).lexically_normal();
  if (has_image_extension(name)) name.replace_extension();  // whatever else follows a dot is part of the name
  return name.string() + ".png";
}

/// Throws Error where two samples would be written to one file.
std::vector<std::string> picture_names(const Dataset& dataset) {
  std::vector<std::string> names;
  std::map<std::string, const Sample*> owners;
  for (const Sample& sample : dataset.samples) {
    names.push_back(picture_name(sample));
    const auto [found, is_new] = owners.emplace(names.back(), &sample);
    if (is_new) continue;
    fail("{}: '{}' and '{}' would both be written to {}; rename one of them", dataset.root.string(),
         found->second->name, sample.name, names.back());
  }
  return names;
}

/// image,label,group and every other column the dataset has.
std::string labels_csv(const Dataset& dataset, const std::vector<std::string>& names,
                       const std::vector<bool>& written) {
  std::vector<std::string> header{"image"};
  std::vector<size_t> order;
  const auto add = [&](const std::string& title, const std::string& column) {
    if (const auto index = dataset.column(column)) {
      header.push_back(title);
      order.push_back(*index);
    }
  };
  add("label", dataset.label_column);
  add("group", dataset.group_column);
  for (const std::string& column : dataset.columns) {
    if (column != "image" && column != "label" && column != "group") add(column, column);
  }
  std::string text = csv_row(header);
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    if (!written[i]) continue;
    std::vector<std::string> row{names[i]};
    for (const size_t index : order) row.push_back(dataset.samples[i].values[index]);
    text += csv_row(row);
  }
  return text;
}

/// One site of each cell type, else the first few.
std::vector<Image> preview_sites(const Dataset& dataset) {
  constexpr size_t kRows = 6;
  std::map<std::string, size_t, NaturalLess> chosen;
  const auto column = dataset.column("cell_type");
  for (size_t i = 0; i < dataset.samples.size() && chosen.size() < kRows; ++i) {
    chosen.emplace(column ? dataset.samples[i].values[*column] : dataset.samples[i].name, i);
  }
  std::vector<Image> sites;
  for (const auto& [name, i] : chosen) sites.push_back(read_planes(dataset.samples[i].files));
  return sites;
}

/// What the workers have done.
struct Fused {
  std::vector<bool> written;                // aligned with the samples
  std::vector<UnreadableImage> unreadable;  // in the order of the samples
};

Fused fuse_images(const Dataset& dataset, const fs::path& folder, const std::vector<std::string>& names,
                  int64_t workers) {
  const size_t total = dataset.samples.size();
  Fused result{.written = std::vector<bool>(total), .unreadable = {}};
  std::atomic<size_t> next = 0;
  std::atomic<int64_t> done = 0;
  std::atomic<int64_t> finished = 0;
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::exception_ptr fatal;
  const auto fuse_one = [&](size_t i) {
    Image planes;
    try {
      planes = read_planes(dataset.samples[i].files);
    } catch (const Error& failure) {
      const std::lock_guard lock(mutex);
      result.unreadable.push_back({static_cast<int64_t>(i), failure.what()});
      return;
    }
    fs::create_directories((folder / names[i]).parent_path());
    write_png(folder / names[i], colormap(planes));
    const std::lock_guard lock(mutex);
    result.written[i] = true;
  };
  const auto work = [&] {
    try {
      for (size_t i = next++; i < total && !stop; i = next++, ++done) fuse_one(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!fatal) fatal = std::current_exception();
      stop = true;
    }
    ++finished;
  };
  {
    Progress progress("fusing", static_cast<int64_t>(total), "images");
    std::vector<std::jthread> threads;
    for (int64_t i = 0; i < workers; ++i) threads.emplace_back(work);
    while (finished < workers) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      progress.update(done);
    }
  }
  if (fatal) std::rethrow_exception(fatal);
  std::sort(result.unreadable.begin(), result.unreadable.end(),
            [](const auto& a, const auto& b) { return a.sample < b.sample; });
  return result;
}

/// Neither may the pictures fall among those they are made of, nor a labels.csv beside a dataset's own tables.
void require_apart(const fs::path& out, const fs::path& data) {
  if (!is_within(out, data) && !is_within(data, out / "images")) return;
  fail("--out {} lies in --data {}, or around it; name a folder of its own", out.string(), data.string());
}

void fuse(const FuseSettings& settings) {
  if (!settings.out.empty()) require_apart(settings.out, settings.data);
  LoadedData data;
  data.dataset = open_filtered(settings.data, settings.where);
  data.max_missing = settings.max_missing;
  const Dataset& dataset = data.dataset;
  check_missing(dataset, settings.max_missing);
  report_missing(dataset);
  if (!settings.preview.empty()) {
    require_no_input(settings.preview, dataset);
    write_png(settings.preview, contact_sheet(preview_sites(dataset), {}));
  }
  if (settings.out.empty()) return;

  const std::vector<std::string> names = picture_names(dataset);
  const fs::path images = fs::path(settings.out) / "images";
  std::error_code error;
  fs::create_directories(images, error);
  if (error) fail("{}: the folder cannot be made: {}", images.string(), error.message());
  const Fused fused = fuse_images(dataset, images, names, settings.workers);
  data.add_unreadable(fused.unreadable);
  write_text_file(fs::path(settings.out) / "labels.csv", labels_csv(dataset, names, fused.written));
  fmt::print("{}: {} RGB images and labels.csv\n", settings.out,
             std::count(fused.written.begin(), fused.written.end(), true));
}

}  // namespace

void add_fuse(CLI::App& app) {
  auto settings = std::make_shared<FuseSettings>();
  CLI::App* command = app.add_subcommand("fuse", "Fuse six channels to RGB pictures with a labels.csv");
  command->option_defaults()->always_capture_default();
  take_path(command->add_option("--data", settings->data, "Folder of images"), "DIR")->required();
  take_path(command->add_option("--out", settings->out, "Folder to make"), "DIR");
  take_choice(command->add_option("--method", settings->method, "How"), {"colormap"});
  take_path(command->add_option("--preview", settings->preview,
                                "Contact sheet of a site of each cell type: channels and fusion"),
            "FILE.png");
  add_where(*command, settings->where);
  add_max_missing(*command, settings->max_missing);
  take_whole(command->add_option("--workers", settings->workers, "Threads"), 1, 256);
  command->footer("Example: cytograd fuse --data rxrx1 --out rgb --preview rgb.png");
  command->callback([settings] {
    if (settings->out.empty() && settings->preview.empty()) throw CLI::RequiredError("--out");
    fuse(*settings);
  });
}

}  // namespace cytograd
