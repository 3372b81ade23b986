package Gatepost::Root;

# A root directory, network and process table of their own for one script: an overlay over this system's, thrown away afterwards. The working
# tree is visible in it as it is. Needs root and overlay file systems.
#
#   plan skip_all => $_ for Gatepost::Root->lacks // ();
#   my $root = Gatepost::Root->new(files => { '/etc/x' => "text\n" });
#   my ($status, $output, $errors) = $root->run("id\n");
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(slurp spew);

sub prepare {
    my ($dir) = @_;
    return <<"E";
set -e
mount -t tmpfs none '$dir/layer'
mkdir '$dir/layer/upper' '$dir/layer/work'
mount -t overlay overlay -o lowerdir=/,upperdir='$dir/layer/upper',workdir='$dir/layer/work' '$dir/root'
mount -t proc proc '$dir/root/proc'
mount --bind /dev '$dir/root/dev'
E
}

sub new {
    my ($class, %given) = @_;
    my $self = bless { dir => tempdir('gatepost-root.XXXXXX', TMPDIR => 1, CLEANUP => 1), files => {}, %given }, $class;
    mkdir "$self->{dir}/$_" for qw(layer root files);
    chmod 0755, $self->{dir};
    return $self;
}

sub enter {
    my ($self, $script) = @_;
    spew("$self->{dir}/enter", $script);
    system("unshare --mount --net --pid --fork --kill-child sh '$self->{dir}/enter' >'$self->{dir}/out' 2>'$self->{dir}/err'");
    return $? >> 8;
}

# Why there can be none here; undef when there can.
sub lacks {
    my ($class) = @_;
    return 'needs root, for a root directory of its own' if $> != 0;
    my $probe = $class->new;
    return $probe->enter(prepare($probe->{dir})) == 0 ? undef : 'no overlay file systems here: ' . (slurp("$probe->{dir}/err") =~ s/\n.*//sr);
}

# Runs a shell script inside: (exit status, output, errors).
sub run {
    my ($self, $script) = @_;
    my ($dir, $n) = ($self->{dir}, 0);
    my $copy = '';
    for my $path (sort keys %{ $self->{files} }) {
        spew("$dir/files/" . ++$n, $self->{files}{$path});
        $copy .= "mkdir -p \"\$(dirname '$dir/root$path')\"; cp '$dir/files/$n' '$dir/root$path'\n";
    }
    spew("$dir/files/script", "ip link set lo up\n$script");
    $copy .= "cp '$dir/files/script' '$dir/root/script'\n";
    my $status = $self->enter(prepare($dir) . $copy . "chroot '$dir/root' sh /script\n");
    return ($status, slurp("$dir/out"), slurp("$dir/err"));
}

1;
