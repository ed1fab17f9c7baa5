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

struct FuseSettings {
  std::string data;
  std::string out;
  std::string method = "colormap";
  std::string preview;
  std::vector<std::string> where;
  double max_missing = 0.05;
  int64_t workers = 2;
};

std::string picture_name(const Sample& sample) {
  const std::filesystem::path name(sample.name);
  return (name.extension().empty() ? name : name.parent_path() / name.stem()).string() + ".png";
}

/// image,label,group and every other column the dataset has.
std::string labels_csv(const Dataset& dataset, const std::vector<bool>& written) {
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
    std::vector<std::string> row{picture_name(dataset.samples[i])};
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

void fuse(const FuseSettings& settings) {
  const Dataset dataset = open_filtered(settings.data, settings.where);
  check_missing(dataset, settings.max_missing);
  report_missing(dataset);
  if (!settings.preview.empty()) write_png(settings.preview, contact_sheet(preview_sites(dataset), {}));
  if (settings.out.empty()) return;

  const std::filesystem::path images = std::filesystem::path(settings.out) / "images";
  std::error_code error;
  std::filesystem::create_directories(images, error);
  if (error) fail("{}: the folder cannot be made: {}", images.string(), error.message());

  const auto total = static_cast<int64_t>(dataset.samples.size());
  std::atomic<int64_t> next = 0;
  std::atomic<int64_t> done = 0;
  std::mutex mutex;
  std::vector<bool> written(dataset.samples.size());
  std::vector<std::string> unreadable;
  std::exception_ptr fatal;
  const auto work = [&] {
    for (int64_t i = next++; i < total; i = next++, ++done) {
      const Sample& sample = dataset.samples[static_cast<size_t>(i)];
      const std::filesystem::path file = images / picture_name(sample);
      Image planes;
      try {
        planes = read_planes(sample.files);
      } catch (const Error& failure) {
        const std::lock_guard lock(mutex);
        unreadable.emplace_back(failure.what());
        continue;
      }
      try {
        std::filesystem::create_directories(file.parent_path());
        write_png(file, colormap(planes));
        const std::lock_guard lock(mutex);
        written[static_cast<size_t>(i)] = true;
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!fatal) fatal = std::current_exception();
        next = total;
      }
    }
  };
  {
    Progress progress("fusing", total, "images");
    std::vector<std::jthread> threads;
    for (int64_t i = 0; i < settings.workers; ++i) threads.emplace_back(work);
    while (done < total && next < total + settings.workers) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      progress.update(done);
    }
  }
  if (fatal) std::rethrow_exception(fatal);
  for (const std::string& reason : unreadable) say("unreadable, skipped: " + reason);
  if (static_cast<double>(unreadable.size()) > settings.max_missing * static_cast<double>(total)) {
    fail("{}: {} of {} images are unreadable, more than --max-missing {:g} allows", settings.data,
         unreadable.size(), total, settings.max_missing);
  }
  write_text_file(std::filesystem::path(settings.out) / "labels.csv", labels_csv(dataset, written));
  fmt::print("{}: {} RGB images and labels.csv\n", settings.out,
             total - static_cast<int64_t>(unreadable.size()));
}

}  // namespace

void add_fuse(CLI::App& app) {
  auto settings = std::make_shared<FuseSettings>();
  CLI::App* command = app.add_subcommand("fuse", "Fuse six channels to RGB pictures with a labels.csv");
  command->option_defaults()->always_capture_default();
  command->add_option("--data", settings->data, "Folder of images")->required()->type_name("DIR");
  command->add_option("--out", settings->out, "Folder to make")->type_name("DIR");
  take_choice(command->add_option("--method", settings->method, "How"), {"colormap"});
  command
      ->add_option("--preview", settings->preview,
                   "Contact sheet of a site of each cell type: channels and fusion")
      ->type_name("FILE.png");
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
